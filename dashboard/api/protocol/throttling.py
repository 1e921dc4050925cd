"""How often one user may ask: by the generic cell rate algorithm, in this process's memory.

Each user may spend a minute's allowance at once, and earns it back evenly. It takes one number for a user, where DRF's
own throttles keep, copy and search the time of every request of the last minute.
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

import threading
import time
from typing import Any

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

PERIOD_SECONDS = 60.0


class RateLimit(BaseThrottle):
    """By the view's `throttle_scope` for what only reads, `writes` for the rest: requests a minute, in the settings."""

    # When each user's allowance is whole again.
    _whole_at: dict[tuple[str, Any], float] = {}  # noqa: RUF012
    _lock = threading.Lock()

    def allow_request(self, request: Request, view: Any) -> bool:
        scope = view.throttle_scope if request.method in SAFE_METHODS else "writes"
        cost = PERIOD_SECONDS / api_settings.DEFAULT_THROTTLE_RATES[scope]
        now = time.monotonic()
        with self._lock:
            key = (scope, request.user.pk)
            whole_at = max(now, self._whole_at.get(key, now)) + cost
            self._too_early = whole_at - now - PERIOD_SECONDS
            if self._too_early > 0:
                return False
            self._whole_at[key] = whole_at
        return True

    def wait(self) -> float:
        """Seconds until the next request is allowed."""
        return self._too_early

    @classmethod
    def forget(cls) -> None:
        cls._whole_at.clear()
