import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from quantum_trader.logs import escape_control_characters
from rl_training.core.evaluation.betting import LARGEST_LOSS
from rl_training.decisions import challengers
from rl_training.decisions.challengers import ArmRefusedError
from rl_training.decisions.comparing import advancing, reports, requesting
from rl_training.decisions.comparing.requesting import Wanted
from rl_training.management.live_versions import find_policy
from rl_training.models import ArmComparison, PolicyStore
from rl_training.versions.changes import command_author

REFUSED, WRONG_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Compare two arms of a policy on new bars, or show the policy's comparisons. Each comparison is a trial of the "
        "market's ledger, however it ends. With --replay each comparison is computed again from stored decisions. "
        "Exit status: 0 done, 1 refused, or a comparison differs when computed again, 2 wrong usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("b", nargs="?", metavar="B", help=f"begin a comparison of this arm: {challengers.FORMS}")
        parser.add_argument(
            "--against", default="live", metavar="A", help="the arm that it is compared with (default: live)"
        )
        parser.add_argument(
            "--largest-loss", type=float, default=LARGEST_LOSS, help="largest loss of B against A in one bar"
        )
        parser.add_argument("--floor", type=float, default=0.0, help="mean gain of B on A per bar that B must exceed")
        parser.add_argument("--end", metavar="ID", help="end this comparison without a verdict")
        parser.add_argument("--replay", action="store_true", help="compute each comparison again")
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")

    def handle(self, *, name: str, b: str | None, end: str | None, **options: Any) -> None:
        policy = find_policy(name)
        by, now = command_author().name or "a command", timezone.now()
        if b:
            wanted = Wanted(options["against"], b, options["largest_loss"], options["floor"])
            try:
                requesting.begin(policy, wanted, by=by, now=now)
            except ArmRefusedError as error:
                raise CommandError(escape_control_characters(str(error)), returncode=REFUSED) from None
        if end:
            found = ArmComparison.objects.filter(policy=policy, comparison_id=end).first()
            if found is None:
                raise CommandError(f"{policy} has no comparison {end!r}", returncode=WRONG_USAGE)
            if not requesting.cancel(found, by=by, now=now):
                raise CommandError(f"comparison {end} has ended: {found.status}", returncode=REFUSED)
        self._show(policy, options["replay"], options["json"])

    def _show(self, policy: PolicyStore, replay: bool, as_json: bool) -> None:
        different = 0
        for comparison in ArmComparison.objects.shown().filter(policy=policy):
            described = reports.as_dict(comparison)
            text = f"{comparison} {comparison.b.title} against {comparison.a.title}: {described['answer']}"
            if replay:
                described["difference"] = advancing.recompute(comparison)
                different += bool(described["difference"])
                text += f" {described['difference'] or 'Equals its recomputation.'}"
            self.stdout.write(json.dumps(described) if as_json else escape_control_characters(text))
        if different:
            raise CommandError(f"{different} comparisons differ when computed again", returncode=REFUSED)
