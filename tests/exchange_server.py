"""An HTTP server on 127.0.0.1 that answers requests for public bars like Binance and Kraken."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time as seconds_now
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HOUR = 3600
# The opening time of the newest bar in the tests, in seconds since 1970: 2020-09-13 13:00.
NEWEST = 1_600_002_000
BINANCE_SYMBOL = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "permissions": ["SPOT"],
    "filters": [],
}
KRAKEN_PAIR = {
    "altname": "XBTUSD",
    "wsname": "XBT/USD",
    "aclass_base": "currency",
    "base": "XXBT",
    "aclass_quote": "currency",
    "quote": "ZUSD",
    "pair_decimals": 1,
    "lot_decimals": 8,
    "fees": [[0, 0.26]],
    "fees_maker": [[0, 0.16]],
    "ordermin": "0.0001",
    "status": "online",
}
# Kraken answers at most this many of its latest bars, however early the requested start is.
KRAKEN_BARS = 720


class ExchangeServer(ThreadingHTTPServer):
    """A server with the state that tests set and read.

    bars      opening time in seconds -> (open, high, low, close, volume)
    asked     the parameter `since` of each request for bars
    failures  (status, body) of the answers to the next requests for bars, in place of bars
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bars: dict[int, tuple[float, ...]] = {}
        self.asked: list[int] = []
        self.failures: list[tuple[int, str]] = []
        # Binance answers at most this many bars per request.
        self.page_limit = 1000
        # By this number of seconds its clock is behind this machine's.
        self.behind = 0
        # For this number of seconds a cache has held its answers.
        self.age = 0

    def trade(self, first: int, last: int) -> None:
        """Add hourly bars that open at `first` to `last`."""
        for time in range(first, last + 1, HOUR):
            price = 100 + (time // HOUR * 7919) % 101 / 10
            self.bars[time] = (price, price + 2, price - 2, price + 1, 5.25)

    def connect(self, exchange: str) -> Any:
        """Return the client of ccxt for `exchange`, with its URLs replaced by those of this server."""
        # ccxt takes seconds to import: only the processes that run these tests should.
        from rl_training.core.market import exchange_pages

        client = exchange_pages.connect(exchange)
        origin = f"http://127.0.0.1:{self.server_port}"
        client.urls["api"] = {name: re.sub("^https://[^/]+", origin, url) for name, url in client.urls["api"].items()}
        client.session.trust_env = False
        client.rateLimit = 0
        return client

    def answer(self, path: str, query: dict[str, str]) -> Any:
        """Return the JSON body of the answer to a request."""
        match path:
            case "/api/v3/exchangeInfo":
                return {"symbols": [BINANCE_SYMBOL]}
            case "/fapi/v1/exchangeInfo" | "/dapi/v1/exchangeInfo":
                return {"symbols": []}
            case "/0/public/AssetPairs":
                return {"error": [], "result": {"XXBTZUSD": KRAKEN_PAIR}}
            case "/0/public/Assets":
                return {"error": [], "result": {}}
            case "/api/v3/klines":
                times = self._from(int(query["startTime"]) // 1000)[: min(int(query["limit"]), self.page_limit)]
                return [[time * 1000, *(str(value) for value in self.bars[time])] for time in times]
            case "/0/public/OHLC":
                times = [time for time in self._from(int(query["since"])) if time > int(query["since"])][-KRAKEN_BARS:]
                rows = [
                    [time, *(str(v) for v in self.bars[time][:4]), "0", str(self.bars[time][4]), 9] for time in times
                ]
                return {"error": [], "result": {"XXBTZUSD": rows, "last": 0}}
        return None

    def _from(self, since: int) -> list[int]:
        self.asked.append(since)
        return sorted(time for time in self.bars if time >= since)


class Handler(BaseHTTPRequestHandler):
    server: ExchangeServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        status, body = 200, json.dumps(self.server.answer(url.path, dict(parse_qsl(url.query))))
        if url.path.endswith(("klines", "OHLC")) and self.server.failures:
            status, body = self.server.failures.pop(0)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Age", str(self.server.age))
        self.end_headers()
        self.wfile.write(body.encode())

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(seconds_now() - self.server.behind if timestamp is None else timestamp)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def exchange_server() -> Iterator[ExchangeServer]:
    with ExchangeServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()
