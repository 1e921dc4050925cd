"""`/metrics` for Prometheus: measurements of the whole system, and of the requests to this web process.

Access requires `Authorization: Bearer <METRICS_TOKEN>`, or a user who may view runs, by API token or session. If
METRICS_TOKEN is empty, every bearer token is refused.
"""

from typing import cast

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, ProcessCollector, generate_latest
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from dashboard.authentication import TokenAuthentication, TooManyWrongTokens
from dashboard.monitoring import request_metrics
from dashboard.monitoring.measurements import SystemCollector
from rl_training.accounts import shared_secrets
from rl_training.accounts.backend import origin_of

PERMISSION = "rl_training.view_trainingrun"
ProcessCollector(namespace="quantum_trader_web", registry=request_metrics.REGISTRY)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    refusal = check_access(request)
    if refusal is not None:
        return refusal
    body = generate_latest(SystemCollector()) + generate_latest(request_metrics.REGISTRY)
    return HttpResponse(body, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def check_access(request: HttpRequest) -> HttpResponse | None:
    """Return None if the client may see the metrics, otherwise the response that refuses access."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        known = bool(settings.METRICS_TOKEN) and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
        wait = shared_secrets.refusal("metrics", "METRICS_TOKEN", origin_of(request), right=known)
        if wait:
            return too_many(wait)
        return None if wait is None else unauthorized("The bearer token is not METRICS_TOKEN.")
    try:
        user = user_of_request(request)
    except AuthenticationFailed as error:
        return unauthorized(str(error.detail))
    except TooManyWrongTokens as error:
        return too_many(error.seconds)
    if not user.is_authenticated:
        return unauthorized("Send Authorization: Bearer METRICS_TOKEN, or Authorization: Token of a user.")
    if not user.has_perm(PERMISSION):
        return HttpResponse(f"The user lacks the permission {PERMISSION}.\n", status=403, content_type="text/plain")
    return None


def user_of_request(request: HttpRequest) -> User | AnonymousUser:
    """Return the user of the API token or of the session. Raises `AuthenticationFailed`."""
    found = TokenAuthentication().authenticate(Request(request))
    return cast(User, found[0]) if found else request.user


def unauthorized(reason: str) -> HttpResponse:
    headers = {"WWW-Authenticate": "Bearer, Token"}
    return HttpResponse(f"{reason}\n", status=401, content_type="text/plain", headers=headers)


def too_many(seconds: float) -> HttpResponse:
    headers = {"Retry-After": str(int(seconds) + 1)}
    return HttpResponse("Too many wrong tokens.\n", status=429, content_type="text/plain", headers=headers)


urlpatterns = [path("metrics", metrics, name="metrics")]
