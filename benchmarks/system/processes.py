"""Memory and processor time of a process."""

import time
from pathlib import Path

import psutil

from benchmarks.results.figures import Figure

IDLE_SECONDS = 30.0
MEGABYTE = 1e6


def processor_percent(process: psutil.Process) -> float:
    """Return the process's use of processors over the next IDLE_SECONDS, in percent of a core."""
    before, started = processor_seconds(process), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return 100 * (processor_seconds(process) - before) / (time.monotonic() - started)


def processor_seconds(process: psutil.Process) -> float:
    """Return the processor time that the process has used since its start."""
    times = process.cpu_times()
    return float(times.user + times.system)


def resident(name: str, process: psutil.Process, at_most: float | None = None) -> Figure:
    """Return the process's resident memory, which includes shared pages."""
    return Figure(f"RSS of {name}", process.memory_info().rss / MEGABYTE, "MB", at_most)


def most_memory(pid: int | str) -> int:
    """Return the largest resident memory that a process has had, in bytes; `self` is the calling process.

    getrusage() is not used, because its maximum includes the memory of the process that started this one.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
