"""The OpenAPI 3.1 schema of the API, and the page that shows it."""

from functools import cache
from typing import Any

from csp.decorators import csp_update
from django.contrib.auth.mixins import LoginRequiredMixin
from django.utils.decorators import method_decorator
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.protocol.views import AnyMethodFirst


@cache
def openapi_schema() -> Any:
    """Return the schema. It is cached because it takes long to generate and is the same for all users."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    return generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


class SchemaView(AnyMethodFirst):
    """Returns the schema as YAML, or as JSON to clients that prefer JSON."""

    renderer_classes = [OpenApiYamlRenderer, OpenApiJsonRenderer, OpenApiJsonRenderer2]  # noqa: RUF012

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(openapi_schema())


# Swagger UI draws its icons from `data:` URLs.
@method_decorator(csp_update({"img-src": "data:"}), name="dispatch")
class DocumentationPage(LoginRequiredMixin, SpectacularSwaggerSplitView):
    """Swagger UI, loaded from files of this site, with its script in a separate file."""

    url_name = "api:schema"
    template_name = "dashboard/api.html"
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    schema = None
