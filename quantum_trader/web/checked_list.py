"""Lists that tolerate a query string, and a selection of rows, written by hand."""

import re
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class CheckedList:
    """A mixin for a ModelAdmin that redirects to the list when a filter or a selected id has an impossible value."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # PostgreSQL raises an error for text that holds NUL.
        if "%00" in request.META["QUERY_STRING"]:
            return redirect(request.path)
        if not all(re.fullmatch(r"[0-9]{1,18}", pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            return redirect(request.get_full_path())
        try:
            shown: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
            return shown
        except (ValueError, OverflowError):
            # For example a date filter with the year 99999.
            if request.method != "GET" or not request.META["QUERY_STRING"]:
                raise
            return redirect(request.path)
