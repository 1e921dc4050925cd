"""Number and duration of the requests that this process answered, by the view's name and never by the URL."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)
REQUESTS = Counter(
    "quantum_trader_http_requests",
    "Requests answered by this web process.",
    ["view", "method", "status"],
    registry=REGISTRY,
)
LATENCY = Histogram(
    "quantum_trader_http_request_duration_seconds",
    "Time from a request's arrival in Django to its answer.",
    ["view", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=REGISTRY,
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_VIEW, OTHER_METHOD = "none", "other"


class RequestMetrics:
    """The outermost middleware, so that requests that other middleware refuses are counted too.

    Clients choose URLs and methods freely, so the labels are limited to view names, known methods and statuses.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self._get_response(request)
        count(request, response.status_code, time.perf_counter() - started)
        return response


def count(request: HttpRequest, status: int, seconds: float) -> None:
    """Count a request that was answered with `status` after `seconds`."""
    view = request.resolver_match.view_name if request.resolver_match else ""
    method = request.method if request.method in METHODS else OTHER_METHOD
    REQUESTS.labels(view or NO_VIEW, method, str(status)).inc()
    LATENCY.labels(view or NO_VIEW, method).observe(seconds)
