import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import redis

from quantum_trader.running import redis_server
from tests.waiting import wait_for


@dataclass
class RedisServer:
    """A Redis server on a unix socket that tests stop and start; each write reaches its append-only file at once."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    client: "redis.Redis" = field(init=False)

    def __post_init__(self) -> None:
        self.client = redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def append_only_file(self) -> Path:
        """The growing part of the append-only file."""
        return max(self.folder.glob("appendonlydir/*.incr.aof"))

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        options = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command = [redis_server.program(), "--port", "0", "--unixsocket", str(self.socket), *options]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        wait_for(self._answers, "Redis to answer")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def restart(self, *, keeping: int | None = None) -> None:
        """Kill the server and start it again with the first `keeping` bytes of its append-only file, or with all."""
        self.kill()
        if keeping is not None:
            with self.append_only_file.open("r+b") as file:
                file.truncate(keeping)
        self.start()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False
