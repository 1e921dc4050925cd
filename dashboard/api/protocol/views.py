"""What all views of the API share."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import QueryDict
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework import generics
from rest_framework.exceptions import MethodNotAllowed, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.views import APIView

from dashboard.api.protocol.pagination import PARAMETERS, CursorPages
from dashboard.api.protocol.parsers import StrictJSONParser
from dashboard.api.protocol.problem_details import InvalidInput
from dashboard.api.protocol.throttling import RateLimit
from rl_training.models import PolicyStore

# Enough to see a slip of the pen by; the message stays a line.
NAMES_IN_MESSAGE = 20


class AnyMethodFirst(APIView):
    """A wrong method is wrong for everyone, with credentials or without."""

    parser_classes = (StrictJSONParser,)
    throttle_classes = (RateLimit,)
    throttle_scope = "reads"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(str(request.method))
        super().initial(request, *args, **kwargs)


@method_decorator(never_cache, name="dispatch")
class View(AnyMethodFirst):
    """Names the permission of each method: what is not named here is nobody's."""

    permissions_of_methods: ClassVar[Mapping[str, str]]
    # Which statuses its methods may answer besides those that any may, for the schema.
    problems_of_methods: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.check_query(request.query_params)

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if request.method == "OPTIONS":
            return
        method = "GET" if request.method == "HEAD" else str(request.method)
        permission = self.permissions_of_methods[method]
        if not request.user.has_perm(permission):
            raise PermissionDenied(f"This needs the permission {permission}, which the user {request.user} has not.")

    def query_parameters(self) -> tuple[str, ...]:
        return ()

    def check_query(self, query: QueryDict) -> None:
        """Refuses what would be left unseen: an unknown parameter, twice the same, an empty one."""
        known = self.query_parameters()
        wanted = f"No such parameter; there are {', '.join(known)}." if known else "No such parameter; there are none."
        wrong = {}
        for name, values in query.lists():
            if name not in known:
                wrong[name[:50]] = wanted
            elif len(values) > 1:
                wrong[name] = "Given more than once."
            elif not values[0]:
                wrong[name] = "Empty; leave it out instead."
        if wrong:
            raise InvalidInput(wrong)


class ListView(View, generics.ListAPIView):  # type: ignore[type-arg]
    """A list in pages. `orderings`: columns, `-` for descending, the default first."""

    pagination_class = CursorPages
    orderings: ClassVar[tuple[str, ...]]
    filterset_class: Any = None

    def orderings_for(self, query: QueryDict) -> tuple[str, ...]:
        """Those that go with the filters of the query, the default first."""
        return self.orderings

    def query_parameters(self) -> tuple[str, ...]:
        filters = self.filterset_class.base_filters if self.filterset_class else ()
        return (*filters, *PARAMETERS)


def check_no_body(request: Request) -> None:
    """Refuses what would be left unseen: fields where there are none. Raises `InvalidInput`, or as the parser does."""
    if request.data:
        raise InvalidInput({str(name)[:50]: "No such field; there are none." for name in request.data})


def check_name(name: str) -> None:
    """Refuses what no row holds before a database is asked for it. Raises `NotFound`."""
    if "\0" in name or len(name) > PolicyStore._meta.get_field("name").max_length:
        raise NotFound(unknown(name))


def pk_of(name: str) -> int:
    """Of the policy of that name. Raises `NotFound`."""
    check_name(name)
    pk = PolicyStore.objects.filter(name=name).values_list("pk", flat=True).first()
    if pk is None:
        raise NotFound(unknown(name))
    return pk


def unknown(name: str) -> str:
    """Names the known policies."""
    names = list(PolicyStore.objects.values_list("name", flat=True)[: NAMES_IN_MESSAGE + 1])
    known = ", ".join(names[:NAMES_IN_MESSAGE]) + (" ..." if len(names) > NAMES_IN_MESSAGE else "")
    return f"Unknown policy {name[:50]!r}. Known policies: {known or 'none'}."
