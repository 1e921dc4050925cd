"""Lists that tolerate a query string written by hand."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class CheckedList:
    """A mixin for a ModelAdmin that redirects to the unfiltered list when a filter has an impossible value."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # PostgreSQL raises an error for text that holds NUL.
        if "%00" in request.META["QUERY_STRING"]:
            return redirect(request.path)
        try:
            shown: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
            return shown
        except (ValueError, OverflowError):
            # For example a date filter with the year 99999.
            if request.method != "GET" or not request.META["QUERY_STRING"]:
                raise
            return redirect(request.path)
