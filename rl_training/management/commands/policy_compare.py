import argparse
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from quantum_trader.logs import escape_control_characters
from rl_training.management.following import ends_when_interrupted, follow
from rl_training.models import Comparison
from rl_training.versions import comparisons
from rl_training.versions.comparison_reports import report
from rl_training.versions.comparisons import CannotCompareError
from rl_training.versions.naming import FORM, UnknownVersionError, find_versions, parse

FAILED, WRONG_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Compare policy versions on bars that come after the training of all of them. A worker computes the result. "
        "Exit status: 0 queued (with --wait: succeeded), 1 failed, 2 wrong usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "versions", nargs="+", metavar="NAME:N", help=f"{FORM}; all versions trade at the costs of the first"
        )
        parser.add_argument("--wait", action="store_true", help="wait until a worker has finished the comparison")
        parser.add_argument("--json", action="store_true", help="print the comparison as JSON")

    def handle(self, *, versions: list[str], wait: bool, **options: Any) -> None:
        try:
            comparison = comparisons.request(find_versions([parse(text) for text in versions]))
        except (UnknownVersionError, CannotCompareError) as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from None
        if wait:
            with ends_when_interrupted(f"comparison {comparison.comparison_id}"):
                name = f"Comparison {comparison.comparison_id}"
                follow(comparison, name, self.stderr if options["json"] else self.stdout)
                comparison.refresh_from_db()
        described = report(comparison)
        if options["json"]:
            self.stdout.write(json.dumps(described))
        else:
            for field, value in described.items():
                if value not in (None, "", []) and field != "differences":
                    text = ", ".join(value) if isinstance(value, list) else value
                    self.stdout.write(escape_control_characters(f"{field}: {text}"))
        if wait and comparison.status != Comparison.Status.SUCCEEDED:
            sys.exit(FAILED)
