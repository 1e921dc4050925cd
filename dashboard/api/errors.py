"""Error responses for requests that no view answers: problem details under `/api/`, Django's pages elsewhere."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from dashboard.api.protocol.problem_details import problem_response

API = "/api/"


@csrf_exempt
def unknown_path(request: HttpRequest) -> HttpResponseBase:
    """Return the 404 problem for a path under `/api/` that names no resource."""
    return problem_response(request, 404, "There is nothing at this path; /api/schema/ lists the resources.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Return the answer to a request that Django refuses before it calls a view, such as a wrong Host header.

    This function is Django's `handler400`.
    """
    if request.path.startswith(API):
        return problem_response(request, 400, "The request is malformed.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Return an answer that does not contain the cause, which only the log shows.

    This function is Django's `handler500`. Without an answer of the database the status is 503, so that programs try
    again.
    """
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        return unavailable(request)
    if request.path.startswith(API):
        return problem_response(request, 500, "The server failed to answer; its log says why.")
    return defaults.server_error(request)


def unavailable(request: HttpRequest) -> HttpResponseBase:
    """Return the answer while the database does not answer."""
    detail = "The database does not answer; try again in a few seconds."
    if request.path.startswith(API):
        response = problem_response(request, 503, detail)
    else:
        response = HttpResponse(f"{detail}\n", status=503, content_type="text/plain")
    response.headers["Retry-After"] = "5"
    return response
