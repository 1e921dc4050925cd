"""`python -m quantum_trader.health URL` exits 0 when a server of this project answers 200 at the URL."""

import http.client
import os
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return status and body of a GET request, sent without a proxy and without following redirects.

    Raises `OSError` when the server cannot be reached.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    # The web server accepts only its public host names, and with HTTPS=1 only requests that came over HTTPS.
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
    """Return whether the server answers 200 at the URL."""
    try:
        return get(url)[0] == http.client.OK
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not answers(sys.argv[1]))
