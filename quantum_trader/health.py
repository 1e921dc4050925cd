"""`python -m quantum_trader.health URL`: exit 0 when a server of ours answers there."""

import http.client
import os
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and body of a GET straight to the server: through no proxy, following no redirect. Raises `OSError`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    # The web server answers under its public names only, and with HTTPS=1 as behind the proxy that terminates it.
    name = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip("*.")
    host = {"Host": name} if name else {}
    try:
        connection.request("GET", parts.path, headers={"X-Forwarded-Proto": "https", **host, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url}: {error!r}") from error
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether the server is there and has what was asked for."""
    try:
        return get(url)[0] == http.client.OK
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not answers(sys.argv[1]))
