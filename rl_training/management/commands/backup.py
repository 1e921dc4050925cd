import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rl_training.core.words import count_of
from rl_training.storage.backup.archive import BackupError
from rl_training.storage.backup.backing_up import back_up

INCOMPLETE = 3


def add_passphrase(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--passphrase-file", type=Path, metavar="PATH", help=purpose)


def passphrase_of(path: Path | None) -> str:
    """Return the first line of the file; empty without a file. Raises `CommandError`."""
    if path is None:
        return ""
    try:
        found = path.read_text(encoding="utf-8").splitlines()[:1]
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path} is no text in UTF-8; its first line must be the passphrase.") from None
    if not found or not found[0].strip():
        raise CommandError(f"{path} is empty; its first line must be the passphrase.")
    return found[0]


def reason_of(error: BackupError | OSError) -> str:
    """Return why a backup was not made or not restored, in words."""
    return f"{error.filename}: {error.strerror}." if isinstance(error, OSError) and error.filename else str(error)


class Command(BaseCommand):
    help = (
        "Write the database, the files that it refers to, and the settings into one new file. The services may go on "
        "running. The file holds password hashes and API tokens. Exit status: 0 written, 1 not written, 3 written, but "
        "files that the database refers to were missing."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a new file, such as backup.tar.gz")
        parser.add_argument("--market-files", action="store_true", help="include the files of MARKET_DATA_ROOT")
        add_passphrase(parser, "file whose first line encrypts the settings; the backup then includes the secrets")

    def handle(self, *, file: Path, market_files: bool, passphrase_file: Path | None, **_: Any) -> None:
        if not file.parent.is_dir():
            raise CommandError(f"{file} cannot be written: there is no folder {file.parent}.")
        try:
            found = back_up(file, market_files=market_files, passphrase=passphrase_of(passphrase_file))
        except (BackupError, OSError) as error:
            raise CommandError(reason_of(error)) from None
        self.stdout.write(
            f"{file}: {count_of(found.rows, 'row')} and {count_of(found.files, 'file')}, {file.stat().st_size:,} bytes."
        )
        if found.missing:
            missing = ", ".join(found.missing)
            raise CommandError(f"These artifacts were not in the storage: {missing}.", returncode=INCOMPLETE)
