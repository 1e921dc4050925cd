"""Settings from environment variables. The error for an invalid value names the variable and describes valid values."""

import ipaddress
import math
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = ("1", "true", "on", "ok", "y", "yes")
FALSE = ("0", "false", "off", "n", "no")
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?|\.[0-9]+")
# Parts of a path that a shell would replace: $NAME, ${NAME}, $(command), %NAME% and `command`.
VARIABLE = re.compile(r"\$[A-Za-z_{(]|%[A-Za-z_]\w*%|`")
# A URL, a drive, a separator of another system, or a value in quotes.
OTHER_SYSTEM = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:[/\\]|\\|^[\"']")
# What Django compares with a request's host: a name, a domain with its subdomains, or an IPv6 address in brackets.
HOST_NAME = r"(?:(?!\S*\.\.)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
ALLOWED_HOST = re.compile(rf"\*|\.?{HOST_NAME}")
ORIGIN = re.compile(rf"https?://(?:\*\.)?{HOST_NAME}(?::[0-9]{{1,5}})?")
MACHINE = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def refused(name: str, right: str) -> ImproperlyConfigured:
    """Return the error for an invalid variable. The error shows its value; `right` describes valid values."""
    return ImproperlyConfigured(f"{name} is {text(name)!r}; it must be {right}.")


def text(name: str, default: str = "") -> str:
    """Return the variable as it is, `$` included; the default when it is unset or empty."""
    return os.environ.get(name) or default


def token(name: str) -> str:
    """Return a token that a client sends in an HTTP header; empty when it is unset."""
    written = text(name)
    if not (written.isascii() and written.isprintable() and written == written.strip()):
        # The value is a secret, so the message does not show it.
        raise ImproperlyConfigured(f"{name} is not a token: ASCII characters without spaces at the ends.")
    return written


def boolean(name: str) -> bool:
    """Return whether the variable is 1 (or true, on, yes); False when it is unset or empty."""
    word = text(name, "0").strip().lower()
    if word not in TRUE + FALSE:
        raise refused(name, "1 for yes or 0 for no")
    return word in TRUE


def whole_number(name: str, default: int, minimum: int, maximum: int) -> int:
    """Return the variable as an integer. Raises `ImproperlyConfigured` when it is out of range."""
    digits = text(name, str(default)).strip()
    if not (re.fullmatch("[0-9]{1,18}", digits) and minimum <= int(digits) <= maximum):
        raise refused(name, f"a whole number from {minimum} to {maximum}")
    return int(digits)


def seconds(name: str, default: float, least: float = 0.001) -> float:
    """Return the variable as a number of seconds, from `least` to a day."""
    value = _number(text(name, str(default)))
    if not least <= value <= 86_400:
        raise refused(name, f"a number of seconds from {least:g} to 86400")
    return value


def probability(name: str, default: float) -> float:
    """Return the variable as a probability, above 0 and below 1."""
    value = _number(text(name, str(default)))
    if not 0 < value < 1:
        raise refused(name, "a number above 0 and below 1, such as 0.05")
    return value


def _number(written: str) -> float:
    # `float` also accepts 1_0 and the digits of other scripts, which are typing errors here.
    return float(written) if NUMBER.fullmatch(written.strip()) else math.nan


def folder(name: str, default: Path, base: Path) -> Path:
    """Return the folder that the variable names, absolute: `~` is the home folder, other paths start in `base`."""
    if not text(name):
        return default.resolve()
    written = text(name).strip()
    if VARIABLE.search(written):
        raise refused(name, "a folder, and variables in it are not replaced: write it in full, or with ~ as in ~/data")
    # An invisible character, copied from a page with the path, would be part of the folder's name.
    if OTHER_SYSTEM.search(written) or not written or not written.isprintable():
        raise refused(name, "a folder of this machine, such as /srv/quantum_trader or ~/data")
    if (path := full_path(written, base)) is None:
        raise refused(name, "a folder, and that user has no home folder here: write it in full")
    there = next(each for each in (path, *path.parents) if os.path.exists(each))
    if not there.is_dir():
        raise refused(name, f"a folder, and {there} is not one")
    return path


def full_path(written: str, base: Path) -> Path | None:
    """Return the absolute path, or None if it has none; `~` is the home folder, other paths start in `base`."""
    if VARIABLE.search(written):
        return None
    try:
        return (base / Path(written).expanduser()).resolve()
    except (RuntimeError, OSError, ValueError):
        return None


def parts(written: str) -> list[str]:
    """Return the parts of a comma-separated list, without the spaces around them."""
    return [part.strip() for part in written.split(",") if part.strip()]


def hosts(name: str, written: str) -> list[str]:
    """Return the host names in the comma-separated list `written`, the value of the variable `name`."""
    names = parts(written)
    if not (names and all(ALLOWED_HOST.fullmatch(each) for each in names)):
        raise ImproperlyConfigured(
            f"{name} is {written!r}; it must be host names separated by commas, without https://, port and path, such "
            "as trader.example.org,127.0.0.1 (.example.org includes all subdomains, IPv6 is written as [::1])."
        )
    return names


def origins(name: str) -> list[str]:
    """Return the origins in a comma-separated list: scheme, host and, unless it is the scheme's own, port."""
    found = parts(text(name))
    if not all(ORIGIN.fullmatch(origin) and _has_host_and_port(origin) for origin in found):
        raise refused(name, "origins separated by commas, without a path, such as https://trader.example.org")
    return found


def networks(name: str, default: str) -> list[str]:
    """Return the IP addresses and networks in a comma-separated list."""
    found = parts(text(name, default))
    try:
        return [str(ipaddress.ip_network(network)) for network in found]
    except ValueError:
        raise refused(name, "IP addresses or networks separated by commas, such as 127.0.0.1,172.16.0.0/12") from None


def web_url(name: str, default: str) -> str:
    """Return the URL of a web page."""
    url = text(name, default).strip()
    if not _has_host_and_port(url) or re.search(r"\s", url):
        raise refused(name, "a URL, such as https://flower.example.org")
    return url


def listening_host(name: str, default: str) -> str:
    """Return the host name or IP address to listen on."""
    host = text(name, default).strip()
    if not (MACHINE.fullmatch(host) or _is_ip_address(host)):
        raise refused(name, "a host name or an IP address, without http:// and port, such as 0.0.0.0")
    return host


def logins(name: str) -> list[str]:
    """Return Flower's logins, each `user:password`."""
    found = text(name).split(",") if text(name) else []
    if not all(map(_is_login, found)):
        raise ImproperlyConfigured(
            f"{name} is not user:password in ASCII characters. Flower separates several logins by commas, so a "
            "password cannot contain a comma."
        )
    return found


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _has_host_and_port(url: str) -> bool:
    try:
        address = urlsplit(url)
        found = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        return False
    return found and ".." not in address.netloc


def _is_login(login: str) -> bool:
    user, _, password = login.partition(":")
    # Flower compares logins in a way that accepts ASCII only.
    return bool(user and password) and login.isascii() and login.isprintable() and login == login.strip()
