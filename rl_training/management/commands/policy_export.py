import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rl_training import keys
from rl_training.management.arguments import number_option
from rl_training.runs.triggering import LAST_VERSION
from rl_training.versions.export import ExportError, export

FAILED, WRONG_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Write a policy version into a new folder, with a script that decides by this version and needs only numpy. "
        "Exit status: 0 written, 1 the version or the folder cannot be used, 2 there is no such policy."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Every command of Django has an option --version, which prints Django's version. This option replaces it.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("folder", type=Path, help="a new or empty folder")
        parser.add_argument(
            "--version",
            dest="number",
            type=number_option(1, LAST_VERSION),
            help="this version instead of the live or newest version",
        )

    def handle(self, *, name: str, folder: Path, number: int | None, **_: Any) -> None:
        try:
            exported = export(keys.find_policy(name), number, folder)
        except keys.SettingError as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from None
        except (ExportError, OSError) as error:
            raise CommandError(str(error), returncode=FAILED) from None
        which = "" if exported.why == "chosen" else f", the {exported.why} one,"
        self.stdout.write(f"Version {exported.version.number} of {name}{which} is in {folder}:")
        self.stdout.write(", ".join(exported.files))
        if "policy.onnx" not in exported.files:
            self.stdout.write("For policy.onnx, install the package onnx: pip install '.[export]'")
