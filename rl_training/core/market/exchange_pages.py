"""Fetches public bars from an exchange page by page, through ccxt, without credentials.

The import of ccxt takes over a second and 80 MB, so only code that fetches imports this module.
"""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import ccxt  # type: ignore[import-untyped]
import numpy as np
import structlog

from rl_training.core import outgoing
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.market.exchange_names import such_as, unknown_exchange
from rl_training.core.market.exchange_series import SETTLING_SECONDS, ExchangeUnavailable, Series

# Seconds before each new attempt. With a timeout of 10 s, a request to a hanging exchange fails after about a minute.
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)
TIMEOUT_MILLISECONDS = 10_000
# DEFAULT_LIMIT is used if ccxt does not know an exchange's limit; every exchange answers this many bars at once.
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
LONGEST_REASON = 200

logger = structlog.get_logger(__name__)

Connect = Callable[[str], Any]
T = TypeVar("T")


class MalformedAnswer(Exception):
    """An answer does not have the form that the exchange documents."""


def connect(exchange: str) -> Any:
    """Return the client of ccxt for an exchange. Raises MarketDataError if ccxt does not know the exchange."""
    if unknown := unknown_exchange(exchange):
        raise MarketDataError(unknown)
    return getattr(ccxt, exchange)(
        {
            # The client waits between requests as long as the exchange demands.
            "enableRateLimit": True,
            "timeout": TIMEOUT_MILLISECONDS,
            # The client uses HTTPS_PROXY and the machine's certificates, as other programs do.
            "requests_trust_env": True,
            "enableLastJsonResponse": True,
        }
    )


class ExchangePages:
    """Fetches the bars of one series in pages of at most `limit` bars."""

    def __init__(self, series: Series, connect: Connect = connect, sleep: Callable[[float], None] = time.sleep) -> None:
        """Connect to the exchange. Raises MarketDataError if it does not have the symbol or the timeframe."""
        self.series = series
        self._sleep = sleep
        self._client = connect(series.exchange)
        # The value "emulated" means bars from the latest trades, which are too few.
        if self._client.has["fetchOHLCV"] is not True:
            raise self._error("the exchange offers no bars")
        if series.timeframe not in self._client.timeframes:
            raise self._error(f"the exchange has no such timeframe; it has {', '.join(self._client.timeframes)}")
        symbols = self._ask(self._client.load_markets)
        if series.symbol not in symbols:
            raise self._error(f"the exchange has no such symbol{such_as(series.symbol, symbols)}")
        limit = self._client.feature_value(series.symbol, "fetchOHLCV", "limit") or DEFAULT_LIMIT
        self.limit = min(int(limit), MAX_LIMIT)

    def page(self, since: int) -> MarketData | None:
        """Return bars that open at `since`, in seconds since 1970, or later; None if there are none.

        The exchange may skip the first bars after `since`, and the last bar may not have ended. Raises
        ExchangeUnavailable if the exchange still does not answer after RETRY_DELAYS, and MarketDataError if it answers
        an error or invalid bars.
        """
        symbol, timeframe = self.series.symbol, self.series.timeframe
        rows = self._ask(lambda: _columns(self._client.fetch_ohlcv(symbol, timeframe, since * 1000, self.limit)))
        self._check_clock()
        if not len(rows):
            return None
        milliseconds = rows[:, 0].astype(np.int64)
        try:
            return MarketData(milliseconds.view("datetime64[ms]"), *rows[:, 1:6].T)
        except MarketDataError as error:
            where = f" of {np.datetime64(int(milliseconds[error.row - 1]), 'ms')}" if error.row else ""
            raise self._error(f"the exchange answers an invalid bar{where}: {error.rule}") from error

    def _check_clock(self) -> None:
        """Raise ExchangeUnavailable if this machine's clock is ahead: a bar that is still traded would seem closed."""
        headers = self._client.last_response_headers or {}
        try:
            # `Age`: the seconds for which a cache on the way has held the answer.
            stated = parsedate_to_datetime(headers["Date"]).timestamp() + int(headers.get("Age", 0))
        except (KeyError, ValueError):
            return
        ahead = time.time() - stated
        if ahead > SETTLING_SECONDS:
            rule = f"this machine's clock is {ahead:,.0f} s ahead of the exchange's: its newest bar may not have closed"
            raise ExchangeUnavailable(rule, file=str(self.series))

    def _ask(self, request: Callable[[], T]) -> T:
        for delay in (*RETRY_DELAYS, None):
            try:
                with outgoing.guarded() as guard:
                    answer = request()
                # ccxt reads a page of HTML as an answer without bars.
                if not isinstance(self._client.last_json_response, dict | list):
                    raise MalformedAnswer("the answer is not JSON")
                return answer
            except (ccxt.OperationFailed, MalformedAnswer) as error:
                if guard.refused:
                    raise self._error(f"no request is sent to the exchange: {outgoing.REFUSED}") from error
                if delay is None:
                    raise self._given_up(error) from error
                logger.warning(
                    "Asking the exchange again", series=str(self.series), seconds=delay, reason=_reason(error)
                )
                self._sleep(delay)
            except ccxt.BaseError as error:
                raise self._error(f"the exchange refuses: {_reason(error)}") from error
            # ccxt raises these if an answer lacks a field or has a value of another type.
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise self._error(f"the exchange's answer is not understood: {_reason(error)}") from error
        raise AssertionError("the last attempt returns or raises")

    def _given_up(self, error: Exception) -> MarketDataError:
        attempts = len(RETRY_DELAYS) + 1
        if isinstance(error, ccxt.NetworkError):
            rule = f"the exchange does not answer {attempts} requests: {_reason(error)}"
            return ExchangeUnavailable(rule, file=str(self.series))
        return self._error(f"the exchange's answer to {attempts} requests is not understood: {_reason(error)}")

    def _error(self, rule: str) -> MarketDataError:
        return MarketDataError(rule, file=str(self.series))


def _columns(answer: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return [bars, 6]: milliseconds since 1970, open, high, low, close, volume. Raises MalformedAnswer."""
    try:
        rows = np.array([row[:6] for row in answer], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MalformedAnswer(f"the bars are not rows of numbers: {error}") from error
    if len(rows) and (rows.ndim != 2 or rows.shape[1] != 6 or not np.isfinite(rows[:, 0]).all()):
        raise MalformedAnswer("the bars are not rows of time, open, high, low, close and volume")
    return rows


def _reason(error: Exception) -> str:
    """Return the message of an error in one short line, because an exchange may answer a page of HTML."""
    text = " ".join(f"{type(error).__name__} {error}".split())
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"
