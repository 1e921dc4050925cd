"""Rate limits for each user, kept in the memory of the web process.

The generic cell rate algorithm lets a user spend the allowance of a minute at once and restores it evenly. It stores
one number for each user, whereas DRF's own throttles store, copy and search the times of all requests of the last
minute. https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

import threading
import time
from typing import Any, cast

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

PERIOD_SECONDS = 60.0
# Without this tolerance, the rounding errors of hundreds of additions would refuse the last request of an allowance.
ROUNDING_SECONDS = 1e-4


class RateLimit(BaseThrottle):
    """Limits requests per minute by the view's `throttle_scope`; requests that write count in the scope `writes`.

    The setting DEFAULT_THROTTLE_RATES names the rate of each scope.
    """

    # The time, on the monotonic clock, at which each user's allowance is full again.
    _full_at: dict[tuple[str, Any], float] = {}  # noqa: RUF012
    _lock = threading.Lock()

    def allow_request(self, request: Request, view: Any) -> bool:
        scope = view.throttle_scope if request.method in SAFE_METHODS else "writes"
        cost = PERIOD_SECONDS / cast(float, api_settings.DEFAULT_THROTTLE_RATES[scope])
        now = time.monotonic()
        with self._lock:
            key = (scope, request.user.pk)
            full_at = max(now, self._full_at.get(key, now)) + cost
            self._too_early = full_at - now - PERIOD_SECONDS
            if self._too_early > ROUNDING_SECONDS:
                return False
            self._full_at[key] = full_at
        return True

    def wait(self) -> float:
        """Return the seconds until the next request is allowed."""
        return self._too_early

    @classmethod
    def reset(cls) -> None:
        """Give all users their full allowance."""
        cls._full_at.clear()
