"""Decides whether a user may send a market file, before its body is received."""

from typing import Any

from dashboard.access import VIEW
from dashboard.pages.market.upload import UPLOAD
from dashboard.scope_user import permission, with_database


def may_upload(scope: dict[str, Any]) -> bool:
    """Return whether the user of an ASGI request may upload market files."""
    return bool(with_database(permission, scope, *VIEW, UPLOAD).status == 200)
