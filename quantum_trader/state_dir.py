"""Checks before a system starts: it needs a state directory and ports that no other system uses."""

import contextlib
import fcntl
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# The bound sockets of `free_ports`.
_reserved: list[socket.socket] = []


class NotAvailableError(Exception):
    """A folder or a port is in use by another system. The message names it and says what to do."""


def private_folder(path: Path) -> None:
    """Create `path`, or check that only this user can enter it: it holds the database and a Redis without a password.

    Raises `NotAvailableError` for a link, a folder of another user, a folder that others can enter, and a path where no
    folder can be created.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NotAvailableError(f"Cannot create {path}: {error.strerror}; name another as STATE_DIR.") from None
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise NotAvailableError(f"{path} is not a folder of this user's own; name another as STATE_DIR.")
    if status.st_mode & 0o077:
        raise NotAvailableError(f"Others can enter {path}; run `chmod 700 {path}` or name another folder as STATE_DIR.")


@contextlib.contextmanager
def sole_user(state_dir: Path) -> Iterator[None]:
    """Lock the state directory until the end of the block; the kernel releases the lock when this process dies.

    Raises `NotAvailableError` when another process holds the lock.
    """
    private_folder(state_dir)
    with (state_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotAvailableError(f"`up` is already running on {state_dir}; only one may run.") from None
        yield


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file that only this user can read; if there is none, write what `make` returns."""
    with (
        contextlib.suppress(FileExistsError),
        open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f,
    ):
        f.write(make())
    return path.read_text()


def check_free(service: str, host: str, port: int) -> None:
    """Raise `NotAvailableError`, which names the settings to change, when the service cannot listen on this port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise NotAvailableError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Set {service}_HOST to an address of this machine and "
            f"{service}_PORT to a free port, in .env for instance."
        ) from None


def free_ports(number: int) -> list[int]:
    """Return different ports of 127.0.0.1 that are reserved for this process's servers until this process ends.

    A port stays reserved because its socket stays bound: the kernel assigns the port to no other socket, while a server
    that sets SO_REUSEADDR, as all servers here do, may still listen on it. Only Linux allows that, so that other
    systems have the port's socket closed.
    """
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    if sys.platform == "linux":
        _reserved.extend(probes)
    else:
        for probe in probes:
            probe.close()
    return ports


def is_listening(path: Path) -> bool:
    """Return whether a process listens on this unix socket; the file that a dead process left does not count."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
