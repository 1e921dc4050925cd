"""Login and permissions, which all pages share."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.mixins import AccessMixin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.generic import TemplateView, View

VIEW = ("rl_training.view_policystore", "rl_training.view_trainingrun")


class Permitted(AccessMixin, View):
    """A view for users who are signed in and have all permissions of `permission_required`."""

    permission_required: str | Sequence[str] = VIEW

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        required = self.permission_required
        if not request.user.has_perms((required,) if isinstance(required, str) else required):
            return self.refuse(request)
        return super().dispatch(request, *args, **kwargs)

    def refuse(self, request: HttpRequest) -> HttpResponse:
        """Return the login page to anonymous users and status 403 to all others."""
        if "HX-Request" in request.headers:
            # htmx would put the login page into the middle of the page. HX-Refresh makes it reload the whole page,
            # which then shows the login or the refusal.
            return HttpResponse(status=403, headers={"HX-Refresh": "true"})
        if request.user.is_authenticated:
            return render(request, "403.html", status=403)
        return self.handle_no_permission()


class Page(Permitted, TemplateView):
    """A page for users who may view policies and runs."""
