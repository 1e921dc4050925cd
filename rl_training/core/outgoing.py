"""Keeps requests to other services away from private addresses, wherever a name or a redirect leads.

Python calls audit hooks before each connection, with the address that is connected to. So no second resolution of a
name, no redirect and no library with its own transport avoids this check. With a proxy in the environment, such as
HTTPS_PROXY, the proxy connects to the service and has to make the check.
"""

import os
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

SETTING = "ALLOW_PRIVATE_ADDRESSES"
REFUSED = f"its address is private or this machine's; {SETTING}=1 allows such addresses"
SENDING = ("socket.connect", "socket.sendto", "socket.sendmsg")
# The IPv6 network of the addresses of machines on the internet (RFC 4291); older forms are outside of it.
GLOBAL_UNICAST = IPv6Network("2000::/3")
# The last four bytes of an address in this network are an IPv4 address (RFC 6052).
NAT64 = IPv6Network("64:ff9b::/96")


class PrivateAddressError(OSError):
    """A connection to a private address was not made."""


@dataclass
class Guard:
    """Records whether a connection has been refused. `proxies` are the (address, port) pairs that may be private."""

    proxies: frozenset[tuple[str, int]]
    refused: bool = False


_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)


@contextmanager
def guarded() -> Iterator[Guard]:
    """Refuse connections of this thread to private addresses in the block, with PrivateAddressError.

    The environment variable ALLOW_PRIVATE_ADDRESSES=1 allows them.
    """
    guard = Guard(_proxies())
    if os.environ.get(SETTING) == "1":
        yield guard
        return
    _install()
    token = _guard.set(guard)
    try:
        yield guard
    finally:
        _guard.reset(token)


def is_public(host: str) -> bool:
    """Return whether a host is the address of a machine on the public internet; False for a name."""
    try:
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in NAT64:
            inner = IPv4Address(address.packed[-4:])
        if inner is None and address not in GLOBAL_UNICAST:
            return False
        address = inner or address
    return address.is_global and not address.is_multicast


@cache
def _install() -> None:
    # An audit hook cannot be removed, and every opened file calls it, so the first use adds it.
    sys.addaudithook(_check)


def _check(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in SENDING or (guard := _guard.get()) is None:
        return
    target = arguments[1]
    named = isinstance(target, tuple) and isinstance(target[0], str)
    if named and (is_public(target[0]) or target[:2] in guard.proxies):
        return
    guard.refused = True
    raise PrivateAddressError(REFUSED)


def _proxies() -> frozenset[tuple[str, int]]:
    """Return the (address, port) pairs of the proxies that the environment names."""
    found = set()
    for scheme, url in urllib.request.getproxies().items():
        parts = urlsplit(url if "//" in url else f"//{url}")
        if scheme == "no" or not parts.hostname:
            continue
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            known = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError:
            continue
        found |= {(str(address[0]), port) for *_, address in known}
    return frozenset(found)
