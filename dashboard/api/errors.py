"""What Django itself answers when no view does: problem details under `/api/`, its own pages elsewhere."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from dashboard.api.protocol.problem_details import answer

API = "/api/"


@csrf_exempt
def unknown_path(request: HttpRequest, **_: Any) -> HttpResponseBase:
    return answer(request, 404, "There is nothing at this path; /api/schema/ lists what there is.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """`handler400`: before a view is reached, as when the Host header is wrong."""
    if request.path.startswith(API):
        return answer(request, 400, "The request is malformed.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """`handler500`. The cause is in the log and nobody else's business."""
    if request.path.startswith(API):
        return answer(request, 500, "The server failed to answer; its log says why.")
    return defaults.server_error(request)
