"""Errors of the API as problem details (RFC 9457), with the content type `application/problem+json`.

Every problem has the members `type`, `title`, `status`, `detail` and `instance`. A problem with the input also has
`errors`, which lists each refused field with its message. A few problems have members of their own, such as `run_id`.
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

from quantum_trader.timestamps import utc_text
from rl_training.decisions.answers import NoDecisionError

CONTENT_TYPE = "application/problem+json"
# The type of RFC 9457 for problems that the HTTP status describes completely.
ABOUT_BLANK = "about:blank"
URN = "urn:quantum-trader:problem:"


class Problem(APIException):
    """An error with its own type.

    `members` are further members of the answer, for programs that handle the error.
    """

    type = ABOUT_BLANK

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.members = members


class InvalidInput(Problem):
    """Refused values. `errors` maps each field to a message that says which values are allowed."""

    status_code = HTTPStatus.BAD_REQUEST
    type = f"{URN}invalid-input"

    def __init__(self, errors: Mapping[str, str]) -> None:
        listed = [{"field": field, "detail": message} for field, message in errors.items()]
        texts = [describe_error(error) for error in listed]
        joined = "; ".join([*(text.removesuffix(".") for text in texts[:-1]), *texts[-1:]])
        super().__init__(joined, errors=listed)


class Conflict(Problem):
    status_code = HTTPStatus.CONFLICT


class RunAlreadyActive(Conflict):
    type = f"{URN}run-already-active"


class RunHasEnded(Conflict):
    type = f"{URN}run-has-ended"


class ComparisonHasEnded(Conflict):
    type = f"{URN}comparison-has-ended"


class AlreadyValidating(Conflict):
    type = f"{URN}already-validating"


class ValidationHasEnded(Conflict):
    type = f"{URN}validation-has-ended"


class AlertIsOver(Conflict):
    type = f"{URN}alert-is-over"


class NothingChanges(Conflict):
    type = f"{URN}nothing-changes"


class NotDeployable(Conflict):
    type = f"{URN}not-deployable"


class LiveHasChanged(Conflict):
    type = f"{URN}live-has-changed"


class AlreadyProposed(Conflict):
    type = f"{URN}already-proposed"


class ProposalIsDecided(Conflict):
    type = f"{URN}proposal-is-decided"


class NoDecision(Conflict):
    """A refusal because no decision may be used now. The type names the reason."""

    def __init__(self, error: NoDecisionError) -> None:
        closed_at = utc_text(error.bar_closed_at) if error.bar_closed_at else None
        super().__init__(str(error), bar_closed_at=closed_at)
        self.type = f"{URN}{error.reason}"


class ArmRefused(Conflict):
    type = f"{URN}arm-refused"


class WeightsUnreadable(Conflict):
    type = f"{URN}weights-unreadable"


class InvalidSettings(Conflict):
    """The policy's stored settings are invalid because they were written without the forms' validation."""

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


def describe_error(error: Mapping[str, str]) -> str:
    """Return the message of an entry of `errors`, after the field's name if it has one."""
    return f"{error['field']}: {error['detail']}" if error["field"] else error["detail"]


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem that answers `error`, or None for an unexpected error, which DRF then raises (status 500).

    This function is DRF's EXCEPTION_HANDLER.
    """
    if isinstance(error, BadRequest | SuspiciousOperation | MultiPartParserError | UnreadablePostError):
        error = Problem(str(error) or "The request could not be read.")
        error.status_code = HTTPStatus.BAD_REQUEST
    elif isinstance(error, ValidationError):
        error = InvalidInput(flatten_errors(error.detail))
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, Problem):
        for name, value in error.headers.items():
            response.headers[name] = value
        problem_type, detail, members = error.type, str(error.detail), error.members
    else:
        problem_type, detail, members = ABOUT_BLANK, str(response.data["detail"]), {}
    path = context["request"].path
    response.data = problem_members(response.status_code, detail, path, problem_type, **members)
    response.content_type = CONTENT_TYPE
    return response


def problem_members(
    status: int, detail: str, instance: str, problem_type: str = ABOUT_BLANK, **members: Any
) -> dict[str, Any]:
    """Return the members of a problem. `instance` is the path of the request."""
    return {
        "type": problem_type,
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "instance": instance,
        **members,
    }


def flatten_errors(detail: Any, path: str = "") -> dict[str, str]:
    """Return the messages of a DRF validation error by the dotted path of the field."""
    if isinstance(detail, dict):
        parts = ((f"{path}.{name}" if path else str(name), value) for name, value in detail.items())
        return {field: message for name, value in parts for field, message in flatten_errors(value, name).items()}
    return {path: " ".join(str(part) for part in (detail if isinstance(detail, list) else [detail]))}


def problem_response(request: HttpRequest, status: int, detail: str) -> HttpResponseBase:
    """Return a problem as a plain Django response, for requests that no DRF view handles."""
    members = problem_members(status, detail, request.path)
    return JsonResponse(members, status=status, content_type=CONTENT_TYPE)
