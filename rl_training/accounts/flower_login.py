"""The check of Flower's logins with limits of guesses, its access log, and the headers of its pages.

`rl_training/accounts/flower_config.py`, which Flower executes at its start, installs them.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import structlog
from django.conf import settings
from django.db import connections
from flower.api import BaseApiHandler
from flower.urls import settings as flower_settings
from flower.views import BaseHandler
from flower.views.monitor import Healthcheck
from tornado.web import RequestHandler, StaticFileHandler
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from rl_training.accounts import shared_secrets
from rl_training.accounts.guessing import Origin

# The one inline script of Flower's templates, with each value of its variable. Tornado strips each line.
INLINE_SCRIPTS = [f"\nvar autorefresh = {value};\n" for value in (0, 1)]
SCRIPT_DIGESTS = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in INLINE_SCRIPTS]
SCRIPT_SOURCES = [f"'sha256-{digest}'" for digest in SCRIPT_DIGESTS]
# Flower's pages set the widths of columns in attributes, and its icons are `data:` URLs of its style sheets.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; "
    f"script-src 'self' {' '.join(SCRIPT_SOURCES)}; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
access_log = structlog.get_logger("flower.access")


def limited(usual: Callable[[BaseHandler], None]) -> Callable[[BaseHandler], Awaitable[None]]:
    """Return a `prepare`, which Tornado calls before the handler, that lets only requests with a right login pass.

    Flower itself requires no login at some URLs, accepts undocumented forms of the header, and shows a traceback for a
    login with characters outside ASCII. So only requests with a right login, and those to the health check, reach
    Flower.
    """

    async def prepare(handler: BaseHandler) -> None:
        logins = handler.application.options.basic_auth
        if logins and not isinstance(handler, Healthcheck):
            header = handler.request.headers.get("Authorization")
            wait = 0.0 if header is None else await seconds_refused(handler, login_of(header), logins)
            if wait is not None:
                refuse(handler, wait)
                return
        usual(handler)

    return prepare


def refuse(handler: BaseHandler, wait: float) -> None:
    """Answer a request without a right login, or a guess that is refused for `wait` seconds."""
    if wait:
        handler.set_status(429)
        handler.set_header("Retry-After", str(int(wait) + 1))
        handler.finish("Too many failed logins. Try again later.\n")
    else:
        handler.set_status(401)
        handler.set_header("WWW-Authenticate", 'Basic realm="flower"')
        handler.finish("Access denied.\n")


async def seconds_refused(handler: BaseHandler, login: str, logins: Collection[str]) -> float | None:
    """Return None for an accepted login, 0.0 for a wrong login, else the seconds for which logins are refused."""
    right = any(hmac.compare_digest(stored.encode(), login.encode()) for stored in logins)
    # Django refuses to use its database in the thread of an event loop.
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, refusal, login.partition(":")[0], client_of(handler.request), right)


def refusal(user: str, address: str, right: bool) -> float | None:
    try:
        return shared_secrets.refusal("Flower", user, Origin(address), right=right)
    finally:
        connections.close_all()


def login_of(header: str) -> str:
    """Return `user:password` of an Authorization header, read as Flower reads it; empty if the header has no login."""
    try:
        scheme, encoded = header.split()
        return base64.b64decode(encoded).decode() if scheme == "Basic" else ""
    except ValueError:
        return ""


def client_of(request: Any) -> str:
    """Return the address of the client, which trusted proxies name in a header."""
    proxies = ProxyHeadersMiddleware(app=None, trusted_hosts=settings.TRUSTED_PROXIES).trusted_hosts  # type: ignore[arg-type]
    forwarded = request.headers.get("X-Forwarded-For")
    if forwarded and request.remote_ip in proxies:
        return proxies.get_trusted_client_address(forwarded)[0]
    return str(request.remote_ip)


def log_request(handler: Any) -> None:
    """Log an answered request, except requests of monitors and for static files. Tornado calls this function."""
    request = handler.request
    if not request.path.startswith(("/healthcheck", "/static/")):
        line = access_log.bind(address=client_of(request), status=handler.get_status())
        line.info(f"{request.method} {request.path}")


def with_headers(usual: Callable[[RequestHandler], None]) -> Callable[[RequestHandler], None]:
    def set_default_headers(handler: RequestHandler) -> None:
        usual(handler)
        for name, value in HEADERS.items():
            handler.set_header(name, value)

    return set_default_headers


def install() -> None:
    """Let Flower limit logins, log requests and send strict headers."""
    for handler in (BaseHandler, StaticFileHandler):
        handler.set_default_headers = with_headers(handler.set_default_headers)  # type: ignore[method-assign]
    for handler in (BaseHandler, BaseApiHandler):
        handler.prepare = limited(handler.prepare)
    flower_settings["log_function"] = log_request
