"""Guesses at passwords and tokens. Importing this module requires django.setup()."""

import urllib.error
import urllib.request
from collections.abc import Iterator

from benchmarks.abuse.rows import Row
from benchmarks.results.figures import Figure
from benchmarks.system.running_system import LOCAL, RunningSystem
from benchmarks.system.summary_requests import SUMMARY

TOKENS = 600


def rows(system: RunningSystem) -> Iterator[Row]:
    """Yield the rows of this part."""
    with system.start("web"):
        yield wrong_tokens(system)


def wrong_tokens(system: RunningSystem) -> Row:
    """Try wrong API tokens from one address."""
    url = f"http://{LOCAL}:{system.web_port}{SUMMARY}"
    answers = [status(url, {"Authorization": f"Token {number:040x}"}) for number in range(TOKENS)]
    checked = sum(answer != 429 for answer in answers)
    return Row("all of them", Figure(f"of {TOKENS} wrong tokens from one address: checked", checked, "", at_most=20))


def status(url: str, headers: dict[str, str]) -> int:
    """Return the status of the answer to a GET request."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
