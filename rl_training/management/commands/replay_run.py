import argparse
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from quantum_trader.logs import escape_control_characters
from rl_training.management.arguments import add_run_id
from rl_training.models import TrainingRun
from rl_training.versions.replay import NoVersionError, Replay, replay

DIFFERENT, WRONG_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Train a finished run again from its stored data, and compare weights and evaluation. Writes no row. "
        "Exit status: 0 equal, 1 different or impossible to train again, 2 there is no such run or it made no version."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_run_id(parser, "the id of a run that made a version")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, run_id: str, **options: Any) -> None:
        run = TrainingRun.objects.select_related("policy", "started_from").filter(run_id=run_id).first()
        if run is None:
            raise CommandError(f"there is no run {run_id}; training_status lists the latest", returncode=WRONG_USAGE)
        try:
            found = replay(run)
        except NoVersionError as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from None
        if options["json"]:
            self.stdout.write(json.dumps(described(run, found)))
        else:
            for line in lines_of(run, found):
                self.stdout.write(escape_control_characters(line))
        if not found.equal:
            sys.exit(DIFFERENT)


def described(run: TrainingRun, found: Replay) -> dict[str, Any]:
    differences = [difference.as_dict() for difference in found.differences]
    return {
        "run_id": run.run_id,
        "policy": run.policy.name,
        "version": found.version,
        "equal": found.equal,
        "sha256": found.sha256,
        "replayed_sha256": found.replayed_sha256,
        "differing_metrics": list(found.differing_metrics),
        "first_difference": None if found.equal else differences[0],
        "differences": differences,
        "notes": [note.as_dict() for note in found.notes],
    }


def lines_of(run: TrainingRun, found: Replay) -> list[str]:
    made = f"Run {run.run_id} made version {found.version} of {run.policy.name}: {found.sha256}"
    replayed = f"Its replay made {found.replayed_sha256}" if found.replayed_sha256 else "It cannot be trained again"
    lines = [made, replayed]
    if found.differing_metrics:
        lines.append(f"The evaluation differs in {', '.join(found.differing_metrics)}")
    lines.append("Equal" if found.equal else f"Different. First difference: {found.differences[0].kind}")
    what = "Differs without effect" if found.equal else "Differs"
    lines += [f"{what}: {difference.kind}: {difference.text}" for difference in found.differences]
    return lines + [f"Note: {note.kind}: {note.text}" for note in found.notes]
