"""Lists whose address may have been written by hand."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class CheckedList:
    """For a ModelAdmin: shows the whole list where a filter's value in the address is one that no row can have."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # It reaches the database as it was sent, and PostgreSQL knows no text that holds NUL.
        if "%00" in request.META["QUERY_STRING"]:
            return redirect(request.path)
        try:
            shown: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
            return shown
        except (ValueError, OverflowError):
            # A year that no date has, for one.
            if request.method != "GET" or not request.META["QUERY_STRING"]:
                raise
            return redirect(request.path)
