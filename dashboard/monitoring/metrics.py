"""`/metrics` for Prometheus: the whole system from database and Redis, and this web process's own requests.

Asked with `Authorization: Bearer <METRICS_TOKEN>`, or as a user who may see runs, by API token or session. Without
METRICS_TOKEN in the environment no bearer token is right.
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

from dashboard.authentication import TokenAuthentication
from dashboard.monitoring import request_metrics
from dashboard.monitoring.exposition import text
from dashboard.monitoring.measurements import SystemCollector

PERMISSION = "rl_training.view_trainingrun"
ProcessCollector(namespace="quantum_trader_web", registry=request_metrics.REGISTRY)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    refusal = refused(request)
    if refusal is not None:
        return refusal
    body = text(SystemCollector().collect()) + generate_latest(request_metrics.REGISTRY)
    return HttpResponse(body, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def refused(request: HttpRequest) -> HttpResponse | None:
    """The answer to who may not see the metrics; None to who may."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        known = bool(settings.METRICS_TOKEN) and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
        return None if known else unauthorized("The bearer token is not METRICS_TOKEN.")
    try:
        user = whose(request)
    except AuthenticationFailed as error:
        return unauthorized(str(error.detail))
    if not user.is_authenticated:
        return unauthorized("Send Authorization: Bearer METRICS_TOKEN, or Authorization: Token of a user.")
    if not user.has_perm(PERMISSION):
        return HttpResponse(f"The user lacks the permission {PERMISSION}.\n", status=403, content_type="text/plain")
    return None


def whose(request: HttpRequest) -> User | AnonymousUser:
    """The user of the API token, or of the session. Raises `AuthenticationFailed`."""
    found = TokenAuthentication().authenticate(Request(request))
    return cast(User, found[0]) if found else request.user


def unauthorized(reason: str) -> HttpResponse:
    headers = {"WWW-Authenticate": "Bearer, Token"}
    return HttpResponse(f"{reason}\n", status=401, content_type="text/plain", headers=headers)


urlpatterns = [path("metrics", metrics, name="metrics")]
