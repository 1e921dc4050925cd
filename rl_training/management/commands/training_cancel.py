import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rl_training.management.arguments import add_run_id
from rl_training.models import TrainingRun, Validation
from rl_training.runs import lifecycle
from rl_training.runs.cancelling import how_it_ends
from rl_training.validation import steps


class Command(BaseCommand):
    help = (
        "Cancel a training run: at once while it is queued, after its present iteration while it is running, or once "
        "its worker counts as lost. "
        "Cancels a walk-forward, named by its id, at once. "
        "Exit status: 0 cancelled or cancellation requested, 1 it had ended already, 2 no such run."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_run_id(parser, "the id of a run or of a walk-forward")

    def handle(self, *, run_id: str, **_: Any) -> None:
        run = TrainingRun.objects.filter(run_id=run_id).first()
        if run is None and (validation := Validation.objects.filter(validation_id=run_id).first()):
            if not steps.cancel(validation):
                raise CommandError(f"validation {run_id} has ended already: {validation.status}")
            self.stdout.write(f"Validation {run_id} is cancelled.")
            return
        if run is None:
            raise CommandError(f"there is no run {run_id}; training_status lists the latest", returncode=2)
        if not lifecycle.cancel(run):
            raise CommandError(f"run {run_id} has ended already: {run.status}")
        self.stdout.write(f"Run {run_id} {how_it_ends(run)}.")
