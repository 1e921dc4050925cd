"""Limits of guesses at Flower's logins, its access log, and the headers of its pages.

`rl_training/accounts/flower_config.py`, which Flower executes at its start, installs them.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import connections
from flower.api import BaseApiHandler
from flower.urls import settings as flower_settings
from flower.views import BaseHandler
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
    """Return a `prepare` that refuses a login after many failures. Tornado calls it before it calls the handler."""

    async def prepare(handler: BaseHandler) -> None:
        login = login_of(handler.request.headers.get("Authorization", ""))
        wait = await seconds_refused(handler, login) if login is not None else None
        if wait:
            handler.set_status(429)
            handler.set_header("Retry-After", str(int(wait) + 1))
            handler.finish("Too many failed logins. Try again later.\n")
        else:
            # The handler itself answers a wrong login.
            usual(handler)

    return prepare


async def seconds_refused(handler: BaseHandler, login: str) -> float | None:
    known = handler.application.options.basic_auth or ()
    right = any(hmac.compare_digest(stored.encode(), login.encode()) for stored in known)
    # Django refuses to use its database in the thread of an event loop.
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, refusal, login.partition(":")[0], client_of(handler.request), right)


def refusal(user: str, address: str, right: bool) -> float | None:
    try:
        return shared_secrets.refusal("Flower", user, Origin(address), right=right)
    finally:
        connections.close_all()


def login_of(header: str) -> str | None:
    """Return `user:password` of an Authorization header, None without one."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def client_of(request: Any) -> str:
    """Return the address of the client, which trusted proxies name in a header."""
    proxies = ProxyHeadersMiddleware(app=None, trusted_hosts=settings.TRUSTED_PROXIES).trusted_hosts  # type: ignore[arg-type]
    forwarded = request.headers.get("X-Forwarded-For")
    if forwarded and request.remote_ip in proxies:
        return proxies.get_trusted_client_address(forwarded)[0]
    return str(request.remote_ip)


def log_request(handler: Any) -> None:
    """Log a request that was answered, except those of monitors and for static files. Tornado calls it."""
    request = handler.request
    if not request.path.startswith(("/healthcheck", "/static/")):
        line = access_log.bind(address=client_of(request), status=handler.get_status())
        line.info(f"{request.method} {request.path}")


def with_headers(usual: Callable[[BaseHandler], None]) -> Callable[[BaseHandler], None]:
    def set_default_headers(handler: BaseHandler) -> None:
        usual(handler)
        for name, value in HEADERS.items():
            handler.set_header(name, value)

    return set_default_headers


def install() -> None:
    """Let Flower limit logins, log requests and send strict headers."""
    BaseHandler.set_default_headers = with_headers(BaseHandler.set_default_headers)
    for handler in (BaseHandler, BaseApiHandler):
        handler.prepare = limited(handler.prepare)
    flower_settings["log_function"] = log_request
