import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rl_training.management.commands.backup import add_passphrase, passphrase_of, reason_of
from rl_training.storage.backup.archive import BackupError
from rl_training.storage.backup.restored_files import RESTORED_SETTINGS
from rl_training.storage.backup.restoring import restore


class Command(BaseCommand):
    help = (
        "Restore a backup into an empty database and empty folders, after all its digests were verified. Start no "
        "service before it has ended. Exit status: 0 restored, 1 not."
    )
    # The database has no tables yet.
    requires_migrations_checks = False
    requires_system_checks: list[str] = []  # noqa: RUF012 - as in Django

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a file that the command backup has written")
        add_passphrase(parser, "file whose first line decrypts the settings")

    def handle(self, *, file: Path, passphrase_file: Path | None, **_: Any) -> None:
        try:
            number = restore(file, passphrase=passphrase_of(passphrase_file))
        except (BackupError, OSError) as error:
            raise CommandError(reason_of(error)) from None
        there = settings.STATE_DIR / RESTORED_SETTINGS
        self.stdout.write(
            f"{number:,} rows are restored. The settings of the backup are in {there}: compare them with .env. Alert "
            "channels need the SECRET_KEY of the backup: if it differs, add it to SECRET_KEY_FALLBACKS."
        )
