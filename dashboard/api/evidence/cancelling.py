"""The base class of the views that cancel work at a user's request."""

from typing import Any, ClassVar

import structlog
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.protocol.views import View, check_no_body

log = structlog.get_logger(__name__)


class CancelView(View):
    """Cancels a row that has a status. A subclass finds, cancels and describes the row, and has a `post`."""

    problems_of_methods: ClassVar = {"POST": (404, 409, 413, 415)}
    # The word for the row at the start of messages.
    title: ClassVar[str]
    has_ended: ClassVar[type[APIException]]
    # Whether cancelling a cancelled row again succeeds.
    may_repeat: ClassVar[bool] = True

    def find(self, identifier: str) -> Any:
        """Return the row, or raise `NotFound`."""
        raise NotImplementedError

    def cancel(self, found: Any, user: Any) -> bool:
        """Cancel the row; return False if it has ended."""
        raise NotImplementedError

    def describe(self, identifier: str) -> Any:
        """Return the serialized row."""
        raise NotImplementedError

    def end(self, request: Request, identifier: str) -> Response:
        """Cancel the row and answer with it. Raises the problem `has_ended` if the row had ended before."""
        check_no_body(request)
        found = self.find(identifier)
        if not self.cancel(found, request.user):
            found.refresh_from_db(fields=["status"])
            if found.status != "cancelled" or not self.may_repeat:
                raise self.has_ended(f"{self.title} {identifier} has ended: {found.status}.")
        log.info(f"{self.title} cancelled by the API", id=identifier, user=str(request.user))
        return Response(self.describe(identifier))
