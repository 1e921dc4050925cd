"""Clients of the summary endpoint."""

import asyncio
import time

from benchmarks.system.running_system import LOCAL

SUMMARY = "/api/v1/rl-v3/dashboard/training-summary"
CLIENTS = 8


def request_summaries(port: int, token: str, seconds: float) -> list[float]:
    """Return the seconds of each answer to CLIENTS clients that repeat the request over kept connections."""
    deadline = time.perf_counter() + seconds
    request = f"GET {SUMMARY} HTTP/1.1\r\nHost: {LOCAL}:{port}\r\nAuthorization: Token {token}\r\n\r\n".encode()

    async def client() -> list[float]:
        reader, writer = await asyncio.open_connection(LOCAL, port)
        taken = []
        while (started := time.perf_counter()) < deadline:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status, *fields = head.decode().lower().splitlines()
            [length] = [int(field.partition(":")[2]) for field in fields if field.startswith("content-length:")]
            body = await reader.readexactly(length)
            taken.append(time.perf_counter() - started)
            if status.split()[1] != "200":
                raise RuntimeError(f"{SUMMARY} answered {status}: {body[:200]!r}")
        writer.close()
        return taken

    async def all_clients() -> list[float]:
        return [taken for times in await asyncio.gather(*(client() for _ in range(CLIENTS))) for taken in times]

    return asyncio.run(all_clients())
