"""The user of a request that Django has not handled yet, such as a live stream or an upload."""

import io
from typing import Any, NamedTuple

import django.db
import structlog
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse

from quantum_trader.threaded import close_broken_connections
from rl_training.accounts.second_factor import verified

log = structlog.get_logger(__name__)


class Permission(NamedTuple):
    """The status of a request, 200 if its user may make it, with the keys of the user and the session."""

    status: int
    user: int | None = None
    session: str | None = None


def permission(scope: dict[str, Any], *permissions: str) -> Permission:
    """Return the status for the user of the request's session: 200, 400, 401 or 403; 503 without the database."""
    request = ASGIRequest(scope, io.BytesIO())
    try:
        request.get_host()
        SessionMiddleware(lambda _: HttpResponse()).process_request(request)
        user = verified(request)
        allowed = user.has_perms(permissions)
    except DisallowedHost:
        return Permission(400)
    except django.db.Error as error:
        log.warning("A user's permission cannot be read", error=str(error))
        return Permission(503)
    if not user.is_authenticated:
        return Permission(401)
    return Permission(200 if allowed else 403, user.pk, request.session.session_key)


def with_database(function: Any, *arguments: Any) -> Any:
    """Call the function; close the thread's database connection after a database error."""
    close_broken_connections()
    try:
        return function(*arguments)
    except django.db.Error:
        django.db.connection.close()
        raise
