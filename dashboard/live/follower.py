"""The queue of events that wait for one client."""

import asyncio
import contextlib

# A client with more unread bytes is disconnected. It reconnects and resumes from the last event that it received.
PENDING_BYTES = 256 * 1024


class Follower:
    """A client of a user, a network and a session that follows the streams of one policy, or of all policies (None).

    `ended` is set when the connection has to end; `dropped` says that it ends because the client does not read.
    """

    def __init__(
        self, policy: str | None, user: int | None = None, network: str = "", session: str | None = None
    ) -> None:
        self.policy = policy
        self.user, self.network, self.session = user, network, session
        self.ended, self.dropped = asyncio.Event(), False
        self._waiting = asyncio.Event()
        self._pending: list[bytes] = []
        self._bytes = 0

    def put(self, chunk: bytes) -> None:
        if not chunk or self.ended.is_set():
            return
        self._bytes += len(chunk)
        # A chunk of any size is accepted while no other chunk waits, because all followers share its bytes.
        if self._pending and self._bytes > PENDING_BYTES:
            self.dropped = True
            self.forget()
            self.end()
        else:
            self._pending.append(chunk)
            self._waiting.set()

    async def take(self, seconds: float) -> bytes:
        """Return all waiting events; empty if no event has come within `seconds`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.wait(), seconds)
        chunk = b"".join(self._pending)
        self.forget()
        return chunk

    def forget(self) -> None:
        self._waiting.clear()
        self._pending.clear()
        self._bytes = 0

    def end(self) -> None:
        self.ended.set()
        self._waiting.set()
