"""Headers of every answer: browsers store no answer, and pages may use only the browser features that they need."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from quantum_trader.web.strict_headers import PERMISSIONS_POLICY


class StrictHeaders:
    """Middleware that adds Permissions-Policy, and Cache-Control unless the view itself has set `no-store`.

    The settings CONTENT_SECURITY_POLICY and SECURE_REFERRER_POLICY are headers of other middleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers["Permissions-Policy"] = PERMISSIONS_POLICY
        if "no-store" not in response.headers.get("Cache-Control", ""):
            response.headers["Cache-Control"] = "no-store"
        return response
