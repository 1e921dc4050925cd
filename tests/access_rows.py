"""Rows of the table of permissions; see `access_table.py`."""

from dataclasses import dataclass
from typing import Any

ANONYMOUS, VIEWER, OPERATOR, ADMIN = "anonymous", "viewer", "operator", "admin"
ROLES = (ANONYMOUS, VIEWER, OPERATOR, ADMIN)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
EVENT = "11111111-2222-3333-4444-555555555555"
# Larger than the keys that the database assigns.
KEY = 9999
FINISHED, QUEUED = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
COMPARISON, ARM_COMPARISON = "cccccccccccc", "ffffffffffff"
VALIDATION, WALKED_FORWARD = "dddddddddddd", "eeeeeeeeeeee"


@dataclass(frozen=True)
class Row:
    """A URL. `statuses` are by method, one for each of ROLES; all methods but GET send `body` and `headers`."""

    path: str
    statuses: dict[str, tuple[str, ...]]
    body: dict[str, Any]
    as_json: bool
    headers: dict[str, str]

    def expected(self, method: str, role: str) -> str:
        return self.statuses[method][ROLES.index(role)]


def row(
    path: str,
    others: str,
    methods: dict[str, str],
    body: dict[str, Any] | None = None,
    as_json: bool = False,
    headers: dict[str, str] | None = None,
) -> Row:
    """Return the row of a URL. `methods` maps methods to their statuses."""
    statuses = {method: tuple(methods.get(method, others).split()) for method in METHODS}
    assert methods.keys() <= set(METHODS), methods
    assert all(len(found) == len(ROLES) for found in statuses.values()), path
    return Row(path, statuses, body or {}, as_json, headers or {})


def api(
    path: str,
    others: str = "405 405 405 405",
    body: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    **methods: str,
) -> Row:
    """Return the row of an API resource: requests are JSON, and a wrong method is refused before the login."""
    return row(path, others, methods, body, True, headers)


def page(path: str, others: str = "302 405 405 405", **methods: str) -> Row:
    """Return the row of a page: every request of an anonymous user is redirected to the login."""
    return row(path, others, methods)


def question(path: str, post: str = "302") -> Row:
    """Return the row of a question that operators answer by POST."""
    return page(path, "302 403 405 405", GET="302 403 200 200", POST=f"302 403 {post} {post}")


def open_page(path: str, others: str = "405 405 405 405", **methods: str) -> Row:
    """Return the row of a page that needs no login."""
    return row(path, others, methods)


def own_form(path: str) -> Row:
    """Return the row of a form that every user has for themselves. Django treats a PUT of a form as a POST."""
    return page(path, "302 405 405 405", **dict.fromkeys(("GET", "POST", "PUT"), "302 200 200 200"))


def admin_page(path: str, admin: str = "200", others: str = "", **methods: str) -> Row:
    """Return the row of a page of Django's admin: only staff may enter, and most pages treat other methods as GET."""
    statuses = {method: f"302 302 302 {status}" for method, status in ({"GET": admin} | methods).items()}
    return row(path, f"302 302 302 {others or admin}", statuses)


def model(
    app: str, name: str, lists: str = "200", add: str = "200", change: str = "200", delete: str = "200"
) -> dict[str, Row]:
    """Return the rows of a model's pages in the admin, with the statuses that an admin gets."""
    base = f"admin/{app}/{name}/"
    pages = {
        "": lists,
        "add/": add,
        f"{KEY}/history/": lists,
        f"{KEY}/delete/": delete,
        f"{KEY}/change/": lists,
        f"{KEY}/": "302",
    }
    found = {path: admin_page(f"/{base}{path}", status) for path, status in pages.items()}
    found[f"{KEY}/change/"] = admin_page(f"/{base}{KEY}/change/", lists, POST=change)
    return {base + path.replace(f"{KEY}/", "<path:object_id>/", 1): row for path, row in found.items()}


def read_only(app: str, *names: str, delete: str = "403") -> dict[str, Row]:
    """Return the rows of the pages of models that the admin only shows, or also deletes."""
    models = (model(app, name, add="403", change="403", delete=delete) for name in names)
    return {path: row for rows in models for path, row in rows.items()}
