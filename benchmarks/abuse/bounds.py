"""Attacks with endless requests, live streams and files that unpack to much. Importing this requires django.setup()."""

import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from django.contrib.auth.models import Group, User

from benchmarks.abuse.clients import Browser
from benchmarks.abuse.guessing import SECRET, new_address, repeat
from benchmarks.abuse.rows import Row
from benchmarks.results.figures import Figure
from benchmarks.system.processes import most_memory
from benchmarks.system.running_system import LOCAL, RunningSystem
from benchmarks.system.stored_rows import api_token
from benchmarks.system.summary_requests import SUMMARY
from rl_training import roles

SLOW, PER_ADDRESS, STREAMS = 500, 50, 1_000
# A connection that is still open after this time counts as not refused.
LONGEST_SECONDS = 60.0
MEGABYTE = b"a" * 2**20
REFUSED_WITHIN = 10.0

CHECK = """
import sys
from pathlib import Path
from rl_training.core.market.checking import check_market
from rl_training.core.market_config import MarketConfig
for layout in ("plain", "auto"):
    config = MarketConfig(source="file", path="bomb.parquet", format=layout)
    assert not check_market(config, Path(sys.argv[1])).usable
# Unlike getrusage, this file leaves out the memory of the process that started this one.
print(*[line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")])
"""

Send = Callable[[asyncio.StreamWriter], Coroutine[None, None, None]]


def rows(system: RunningSystem) -> Iterator[Row]:
    """Yield the rows of this part."""
    viewer = User.objects.create_user("watcher", password=SECRET)
    viewer.groups.add(Group.objects.get(name=roles.VIEWER))
    with system.start("web") as services:
        port, pid = system.web_port, services["web"].process.pid
        yield from slow_connections(
            port, f"{SLOW} connections with a header that does not end", "all stay open", slow_head
        )
        yield from slow_connections(
            port, f"{SLOW} connections with a body that does not end", "not measured", slow_body
        )
        for what, before, send in (
            ("a header of 64 MB", "read in full, others 2.1 s", long_header),
            ("10,000 headers", "not measured", many_headers),
            ("an endless body", "not measured", endless_body),
        ):
            seconds = asyncio.run(until_closed(port, new_address(), send))
            yield Row(before, Figure(f"{what}: refused after", seconds, "s", at_most=REFUSED_WITHIN))
        yield Row(
            "296 MB",
            Figure("most memory of the web process in these attacks", most_memory(pid) / 2**20, "MB", at_most=250),
        )
        yield from live_streams(port)
    yield Row(
        "5.6 GB",
        Figure("memory of a check of a Parquet file that repeats a long text", check_memory(), "MB", at_most=250),
    )


def slow_connections(port: int, what: str, before: str, send: Send) -> Iterator[Row]:
    """Open many connections that send one byte per second, while a program reads the summary."""
    addresses = [new_address() for _ in range(SLOW // PER_ADDRESS)]
    authorization = {"Authorization": f"Token {api_token()}"}
    reader = Browser(port, new_address())

    async def attack() -> list[float]:
        return await asyncio.gather(
            *(until_closed(port, address, send) for address in addresses for _ in range(PER_ADDRESS))
        )

    with ThreadPoolExecutor(2) as pool:
        attacks: Sequence[Future[list[float]]] = [pool.submit(asyncio.run, attack())]
        taken = repeat(attacks, lambda: reader.request("GET", SUMMARY, authorization), 200)  # type: ignore[arg-type]
    longest = max(attacks[0].result())
    yield Row(before, Figure(f"{what}: the last is refused after", longest, "s", at_most=REFUSED_WITHIN))
    p95 = 1000 * sorted(taken)[int(0.95 * len(taken))]
    yield Row("not measured", Figure(f"{what}: summary, 95th percentile", p95, "ms", at_most=100))


async def until_closed(port: int, address: str, send: Send) -> float:
    """Return the seconds until the server has closed a connection whose client sends and reads."""
    reader, writer = await asyncio.open_connection(LOCAL, port, local_addr=(address, 0))
    started = time.perf_counter()
    sending = asyncio.create_task(send(writer))
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(LONGEST_SECONDS):
            while await reader.read(65_536):
                pass
    seconds = time.perf_counter() - started
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()
    return seconds


async def slow_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: %b\r\nX-Slow: " % LOCAL.encode())
    await trickle(writer)


async def slow_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /accounts/login/ HTTP/1.1\r\nHost: %b\r\nContent-Length: 1000\r\n\r\n" % LOCAL.encode())
    await trickle(writer)


async def trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(1)


async def long_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: %b\r\nX-Long: " % LOCAL.encode())
    for _ in range(64):
        writer.write(MEGABYTE)
        await writer.drain()
    writer.write(b"\r\n\r\n")


async def many_headers(writer: asyncio.StreamWriter) -> None:
    lines = b"".join(b"X-%d: 1\r\n" % number for number in range(10_000))
    writer.write(b"GET / HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (LOCAL.encode(), lines))


async def endless_body(writer: asyncio.StreamWriter) -> None:
    head = b"POST /market/upload/ HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head % LOCAL.encode())
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(MEGABYTE), MEGABYTE))
        await writer.drain()


def check_memory() -> float:
    """Return the largest memory of a process that checks a Parquet file of 330 KB, in MB."""
    rows = 100_000
    columns: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close"), [1.0, 1.5] * (rows // 2))
    columns["timestamp"] = range(1_600_000_000, 1_600_000_000 + 60 * rows, 60)
    columns["volume"] = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["1" * 80_000_000]))
    with tempfile.TemporaryDirectory() as folder:
        parquet.write_table(pa.table(columns), f"{folder}/bomb.parquet", compression="zstd")
        command = [sys.executable, "-c", CHECK, folder]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) / 1024


def live_streams(port: int) -> Iterator[Row]:
    """Open as many live streams as one viewer may, and sign out."""
    browser = Browser(port, new_address())
    browser.log_in("watcher", SECRET)
    opened, seconds = asyncio.run(streams_until_sign_out(browser))
    yield Row("1,000", Figure(f"of {STREAMS} live streams of one viewer: opened", opened, "", at_most=20))
    yield Row("20 s", Figure("the last live stream ends after sign-out", seconds, "s", at_most=5))


async def streams_until_sign_out(browser: Browser) -> tuple[int, float]:
    """Return how many streams were opened, and the seconds from the sign-out to the end of the last."""
    request = (
        f"GET /live/ HTTP/1.1\r\nHost: {LOCAL}\r\nCookie: sessionid={browser.cookies['sessionid']}\r\n\r\n".encode()
    )
    addresses = itertools.cycle([new_address() for _ in range(STREAMS // PER_ADDRESS)])
    streams = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection(LOCAL, browser.port, local_addr=(next(addresses), 0))
        writer.write(request)
        if (await reader.readline()).split()[1] == b"200":
            streams.append((reader, writer))
        else:
            writer.close()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    token = f"csrfmiddlewaretoken={browser.cookies['csrftoken']}"
    await asyncio.to_thread(browser.request, "POST", "/accounts/logout/", form, token)
    started = time.perf_counter()
    for reader, writer in streams:
        # The last chunk; the connection itself stays open for the next request.
        await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), LONGEST_SECONDS)
        writer.close()
    return len(streams), time.perf_counter() - started
