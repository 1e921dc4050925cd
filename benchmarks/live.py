"""Measures the load of many browsers that follow one run on the web process, and if every event reaches all of them.

    python -m benchmarks.live [--browsers NUMBER] [--seconds NUMBER]

A real web process, Redis and PostgreSQL in a throw-away folder. The benchmark publishes the run's progress as a worker
does, ten times a second; the browsers are connections that read.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psutil

from benchmarks.results.figures import HEADINGS, Figure
from benchmarks.results.markdown import aligned
from benchmarks.system.processes import MEGABYTE, processor_seconds
from benchmarks.system.running_system import LOCAL, RunningSystem, django_on_throw_away_system
from quantum_trader.redis_clients import redis_client

EVENTS_PER_SECOND = 10
POLICY = "rl_v3"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description="Browsers that follow one run.")
    parser.add_argument("--browsers", type=int, default=200, help="how many follow the run")
    parser.add_argument("--seconds", type=int, default=30, help="how long the run goes on")
    options = parser.parse_args(arguments)
    # All browsers are one user at one address here.
    most = str(max(10, 2 * options.browsers))
    limits = dict.fromkeys(("CONNECTIONS", "CONNECTIONS_PER_ADDRESS"), most)
    limits |= dict.fromkeys(("LIVE_STREAMS_PER_USER", "LIVE_STREAMS_PER_ADDRESS"), str(min(options.browsers, 1000)))
    with django_on_throw_away_system(**limits) as system:
        figures = list(measure(system, options.browsers, options.seconds))
    print(aligned([HEADINGS, *(figure.cells() for figure in figures)]))


def measure(system: RunningSystem, browsers: int, seconds: int) -> Iterator[Figure]:
    """Measure the web process while `browsers` follow a run for `seconds`."""
    # These modules import models, which requires django.setup().
    from benchmarks.system import stored_pages, stored_rows

    stored_rows.empty(policies=1)
    cookie = stored_pages.session()
    with system.start("web") as services:
        web = services["web"].process
        before = web.memory_info().rss
        followed = asyncio.run(follow_a_run(system.web_port, cookie, browsers, seconds, web))
        memory = (web.memory_info().rss - before) / MEGABYTE
    lost = sum(len(set(followed.published) - set(received)) for received in followed.received)
    twice = sum(len(received) - len(set(received)) for received in followed.received)
    what = f"{browsers} browsers, {EVENTS_PER_SECOND} events a second"
    yield Figure(f"{what}: the web process", followed.processor_percent, "% of a core", 50.0)
    yield Figure(f"{what}: events lost of {len(followed.published) * browsers:,}", lost, "", 0)
    yield Figure(f"{what}: events that came twice", twice, "")
    yield Figure(f"{what}: memory that it took", memory, "MB")
    yield Figure("from the announcement to the last browser, median", followed.delay, "ms")


@dataclass
class Followed:
    """The stream entries' ids that were published, and that each browser received.

    processor_percent  the web process's use of processors, in percent of a core
    delay              median time from publishing an event to its receipt by the last browser, in milliseconds
    """

    published: list[str] = field(default_factory=list)
    received: list[list[str]] = field(default_factory=list)
    processor_percent: float = 0.0
    delay: float = 0.0


async def follow_a_run(port: int, cookie: str, browsers: int, seconds: int, web: psutil.Process) -> Followed:
    """Publish the events of a run of this many seconds while browsers follow it."""
    found = Followed()
    arrived: dict[str, float] = {}
    ready = [asyncio.Event() for _ in range(browsers)]
    following = [asyncio.create_task(follow(port, cookie, event, arrived)) for event in ready]
    await asyncio.gather(*(event.wait() for event in ready))
    used, began = processor_seconds(web), time.monotonic()
    sent = {}
    events = EVENTS_PER_SECOND * seconds
    for number in range(events):
        await asyncio.sleep(max(0.0, began + number / EVENTS_PER_SECOND - time.monotonic()))
        entry = publish("completed" if number == events - 1 else "progress", number + 1, events)
        sent[entry] = time.monotonic()
        found.published.append(entry)
    found.received = await asyncio.wait_for(asyncio.gather(*following), 60)
    found.processor_percent = 100 * (processor_seconds(web) - used) / (time.monotonic() - began)
    found.delay = 1000 * statistics.median(arrived[entry] - at for entry, at in sent.items() if entry in arrived)
    return found


def publish(kind: str, episode: int, episodes: int) -> str:
    """Add an entry to the policy's stream of this kind, and return the entry's id."""
    payload = {"episode": episode, "episodes": episodes, "reward": 0.0123456, "avg_reward": 0.0123456}
    text = json.dumps(payload | {"environment_steps": 131072 * episode})
    return str(redis_client().xadd(f"{POLICY}.training.{kind}", {"run_id": "0123456789ab", "payload": text}))


async def follow(port: int, cookie: str, ready: asyncio.Event, arrived: dict[str, float]) -> list[str]:
    """Read events until the run's end, and return their ids; `arrived` receives the time of each last receipt."""
    reader, writer = await asyncio.open_connection(LOCAL, port)
    request = f"GET /live/?policy={POLICY} HTTP/1.1\r\nHost: {LOCAL}:{port}\r\nCookie: sessionid={cookie}\r\n\r\n"
    writer.write(request.encode())
    received, kind = [], ""
    while line := (await reader.readline()).decode():
        if line.startswith("id: "):
            ready.set()
            identity = line[4:].strip()
        elif line.startswith("event: "):
            kind = line[7:].strip()
        elif line.startswith("data: ") and kind in ("progress", "completed"):
            received.append(identity)
            arrived[identity] = time.monotonic()
            if kind == "completed":
                break
    writer.close()
    return received


if __name__ == "__main__":
    main()
