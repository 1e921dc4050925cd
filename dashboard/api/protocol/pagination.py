"""Pagination by cursor.

Each page begins where the previous page ended. Rows that are added meanwhile shift no page, and the cost of a page does
not grow with the length of the list.
"""

import base64
import binascii
import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField, Field, FloatField, IntegerField, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from dashboard.api.protocol.problem_details import InvalidInput
from dashboard.timestamps import parse_timestamp
from quantum_trader.text import parse_whole_number

DEFAULT_LIMIT, MAX_LIMIT = 50, 100
MAX_KEY = 2**63 - 1
PARAMETERS = ("cursor", "limit", "ordering")


@dataclass(frozen=True)
class Cursor:
    """A position in an ordered list: the row that a page begins after, or ends before if `backward`.

    `value` is the row's value in the column that orders the list, `pk` its primary key.
    """

    ordering: str
    backward: bool
    value: Any
    pk: int

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        return base64.urlsafe_b64encode(json.dumps([self.ordering, self.backward, value, self.pk]).encode()).decode()


def read_cursor(text: str, ordering: str, column: "Field[Any, Any]") -> Cursor:
    """Parse a cursor of a list in the given order by `column`.

    Raises `ValueError` for texts that this API cannot have made.
    """
    try:
        content = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        stored_ordering, backward, value, pk = json.loads(content)
    except (binascii.Error, UnicodeError, RecursionError, TypeError) as error:
        raise ValueError(str(error)) from None
    if stored_ordering != ordering or type(backward) is not bool or type(pk) is not int:
        raise ValueError("a cursor of another list")
    if not 0 <= pk <= MAX_KEY:
        raise ValueError("the cursor of no row")
    return Cursor(ordering, backward, cursor_value(value, column), pk)


def cursor_value(value: Any, column: "Field[Any, Any]") -> Any:
    """Return the value of a cursor as a value of `column`. Raises `ValueError` if the column cannot hold it."""
    if isinstance(column, IntegerField):
        if type(value) is not int or not 0 <= value <= MAX_KEY:
            raise ValueError("not a value of the column")
        return value
    if isinstance(column, FloatField):
        if type(value) not in (float, int) or not abs(value) < math.inf:
            raise ValueError("not a value of the column")
        return float(value)
    if not isinstance(value, str) or "\0" in value or not value.isprintable():
        raise ValueError("not a value of the column")
    return parse_timestamp(value) if isinstance(column, DateTimeField) else value


class CursorPages(BasePagination):
    """Paginates querysets of dicts (`values`) that contain `pk` and the columns of the view's `orderings`.

    Lists are also ordered by the primary key, so that rows with the same value are neither skipped nor shown twice.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self._url = request.build_absolute_uri()
        self._ordering = ordering = self._read_ordering(request, view)
        self._column = name = ordering.removeprefix("-")
        limit = self._read_limit(request)
        self._cursor = cursor = self._read_cursor(request, queryset)
        descending = ordering.startswith("-") != (cursor is not None and cursor.backward)
        if cursor is not None:
            comparison = "lt" if descending else "gt"
            beyond = Q(**{f"{name}__{comparison}": cursor.value})
            same_value = Q(**{name: cursor.value, f"pk__{comparison}": cursor.pk})
            # The first condition follows from the second, but databases need it to find the position in the index.
            queryset = queryset.filter(Q(**{f"{name}__{comparison}e": cursor.value}), beyond | same_value)
        sign = "-" if descending else ""
        rows = list(queryset.order_by(f"{sign}{name}", f"{sign}pk")[: limit + 1])
        self._more, self._rows = len(rows) > limit, rows[:limit]
        if cursor is not None and cursor.backward:
            self._rows.reverse()
        return self._rows

    def _read_ordering(self, request: Request, view: Any) -> str:
        orderings = view.orderings_for(request.query_params)
        ordering = str(request.query_params.get("ordering", orderings[0]))
        if ordering not in orderings:
            raise InvalidInput({"ordering": f"One of {', '.join(orderings)}."})
        return ordering

    def _read_limit(self, request: Request) -> int:
        text = request.query_params.get("limit", str(DEFAULT_LIMIT))
        limit = parse_whole_number(text)
        if limit is None or not 1 <= limit <= MAX_LIMIT:
            raise InvalidInput({"limit": f"A whole number from 1 to {MAX_LIMIT}."})
        return limit

    def _read_cursor(self, request: Request, queryset: QuerySet[Any]) -> Cursor | None:
        text = request.query_params.get("cursor")
        if text is None:
            return None
        try:
            return read_cursor(text, self._ordering, queryset.model._meta.get_field(self._column))
        except ValueError:
            wanted = "Not a cursor of this list in this order; follow `next` and `previous` as they are."
            raise InvalidInput({"cursor": wanted}) from None

    def _link(self, row: Any, backward: bool) -> str:
        cursor = Cursor(self._ordering, backward, row[self._column], row["pk"])
        return str(replace_query_param(self._url, "cursor", str(cursor)))

    def get_paginated_response(self, data: Any) -> Response:
        backward = self._cursor is not None and self._cursor.backward
        # The client came from the page in the other direction, so this page has a link to it.
        has_next = self._more if not backward else True
        has_previous = self._more if backward else self._cursor is not None
        following = self._link(self._rows[-1], False) if self._rows and has_next else None
        previous = self._link(self._rows[0], True) if self._rows and has_previous else None
        return Response({"next": following, "previous": previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri", "description": "Null at this end of the list."}
        properties = {"next": link, "previous": link, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        ordering = {"type": "string", "enum": list(view.orderings)}
        cursor = {"type": "string", "minLength": 1}
        return [
            query_parameter("cursor", cursor, "Where the page begins; taken from `next` or `previous`."),
            query_parameter("limit", limit, "Largest number of rows."),
            query_parameter("ordering", ordering, f"`-` means descending; by default {view.orderings[0]}."),
        ]


def query_parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
