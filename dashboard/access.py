"""What all pages have in common: a login, permissions, and headers that let nothing in from elsewhere."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.mixins import AccessMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.generic import TemplateView

VIEW = ("rl_training.view_policystore", "rl_training.view_trainingrun")
# Nothing but this site's own files; no script or style inside a page.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class StrictHeaders:
    """A view whose pages load nothing but this site's own files and are kept nowhere."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response["Cache-Control"] = "no-store"
        return response


class Permitted(AccessMixin):
    """Nobody sees it without a login, nor with one that lacks the permissions."""

    permission_required: str | Sequence[str] = VIEW

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        asked = self.permission_required
        if not request.user.has_perms((asked,) if isinstance(asked, str) else asked):
            return self.refuse(request)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc, no-any-return]

    def refuse(self, request: HttpRequest) -> HttpResponse:
        if "HX-Request" in request.headers:
            # What a page fetches of itself is never put into it: the page comes anew, with the login or the refusal.
            return HttpResponse(status=403, headers={"HX-Refresh": "true"})
        if request.user.is_authenticated:
            return render(request, "403.html", status=403)
        return self.handle_no_permission()


class Page(StrictHeaders, Permitted, TemplateView):
    pass
