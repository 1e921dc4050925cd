"""Every error of the API in one shape: problem details, RFC 9457, as `application/problem+json`.

`type`, `title`, `status`, `detail` and `instance` are always there; `errors` lists what is wrong with which field of
the input, and a few problems carry a member of their own.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

CONTENT_TYPE = "application/problem+json"
# Says that the status says it all.
ABOUT_BLANK = "about:blank"
URN = "urn:quantum-trader:problem:"


class Problem(APIException):
    """An error with a type of its own; `members` are what a program needs to go on."""

    type = ABOUT_BLANK

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.members = members


class InvalidInput(Problem):
    """Values that are refused: by field, what would be right."""

    status_code = HTTPStatus.BAD_REQUEST
    type = f"{URN}invalid-input"

    def __init__(self, errors: Mapping[str, str]) -> None:
        found = [{"field": field, "detail": message} for field, message in errors.items()]
        super().__init__("; ".join(named(error) for error in found), errors=found)


class Conflict(Problem):
    status_code = HTTPStatus.CONFLICT


class RunAlreadyActive(Conflict):
    type = f"{URN}run-already-active"


class RunHasEnded(Conflict):
    type = f"{URN}run-has-ended"


class AlertIsOver(Conflict):
    type = f"{URN}alert-is-over"


class InvalidSettings(Conflict):
    """What is stored in a policy is invalid: it was written past the forms."""

    type = f"{URN}invalid-settings"


class SettingsChanged(Problem):
    status_code = HTTPStatus.PRECONDITION_FAILED
    type = f"{URN}settings-changed"


class TooLarge(Problem):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class KeyReused(Problem):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    type = f"{URN}idempotency-key-reused"


class PreconditionRequired(Problem):
    status_code = HTTPStatus.PRECONDITION_REQUIRED


def named(error: Mapping[str, str]) -> str:
    return f"{error['field']}: {error['detail']}" if error["field"] else error["detail"]


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER; None, and so a 500, for what nobody has thought of."""
    if isinstance(error, BadRequest | SuspiciousOperation | MultiPartParserError | UnreadablePostError):
        error = Problem(str(error) or "The request could not be read.")
        error.status_code = HTTPStatus.BAD_REQUEST
    elif isinstance(error, ValidationError):
        error = InvalidInput(flat(error.detail))
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, Problem):
        for name, value in error.headers.items():
            response.headers[name] = value
        kind, detail, members = error.type, str(error.detail), error.members
    else:
        kind, detail, members = ABOUT_BLANK, str(response.data["detail"]), {}
    response.data = document(response.status_code, detail, context["request"].path, kind, **members)
    response.content_type = CONTENT_TYPE
    return response


def document(status: int, detail: str, instance: str, kind: str = ABOUT_BLANK, **members: Any) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    return {"type": kind, "title": title, "status": int(status), "detail": detail, "instance": instance, **members}


def flat(detail: Any, path: str = "") -> dict[str, str]:
    """The messages of a DRF validation error by field."""
    if isinstance(detail, dict):
        parts = ((f"{path}.{name}" if path else str(name), value) for name, value in detail.items())
        return {field: message for name, value in parts for field, message in flat(value, name).items()}
    return {path: " ".join(str(part) for part in (detail if isinstance(detail, list) else [detail]))}


def answer(request: HttpRequest, status: int, detail: str) -> HttpResponseBase:
    """A problem outside of DRF's views."""
    return JsonResponse(document(status, detail, request.path), status=status, content_type=CONTENT_TYPE)
