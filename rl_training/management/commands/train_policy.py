import argparse
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from tqdm import tqdm

from quantum_trader.logs import escape_control_characters
from quantum_trader.text import parse_whole_number
from rl_training import keys
from rl_training.management.arguments import number_option
from rl_training.management.following import INTERRUPTED, ends_when_interrupted, follow, until_ended
from rl_training.models import MAX_EPISODES, InvalidConfigError, PolicyStore, TrainingRun
from rl_training.runs import lifecycle
from rl_training.runs.reports import describe_run
from rl_training.runs.triggering import LAST_SEED, RunOptions, UnknownVersionError, WeightsRemovedError, trigger_run
from rl_training.worker.execution import execute, explain

FAILED, WRONG_USAGE, ALREADY_ACTIVE = 1, 2, 3


def version_number(policy: PolicyStore, start: str | None) -> int | None:
    """Return the number of the version that `--from` names, or None for `scratch` and without `--from`."""
    if start is None or start == "scratch":
        return None
    number = parse_whole_number(start)
    if number is None:
        raise unknown_version(policy, start)
    return number


def unknown_version(policy: PolicyStore, start: str | None) -> CommandError:
    newest = policy.versions.order_by("-number").values_list("number", flat=True).first()
    known = "no version yet" if not newest else "version 1" if newest == 1 else f"versions 1 to {newest}"
    what = f"--from {start}: expected scratch or a version number; {policy.name} has {known}"
    return CommandError(what, returncode=WRONG_USAGE)


class Command(BaseCommand):
    help = (
        "Trigger a training run of a policy. Exit status: 0 queued (with --wait or --local: succeeded), "
        "1 failed, 2 wrong usage, 3 the policy already has a queued or running run."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument(
            "--episodes", type=number_option(1, MAX_EPISODES), help="number of episodes (default: episodes_per_run)"
        )
        parser.add_argument("--seed", type=number_option(0, LAST_SEED), help="default: random")
        parser.add_argument(
            "--from",
            dest="start",
            metavar="VERSION|scratch",
            help="version to start from, or scratch (default: the policy's start_from)",
        )
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--wait", action="store_true", help="follow the run until a worker has finished it")
        where.add_argument("--local", action="store_true", help="train in this process, without a worker")
        parser.add_argument("--json", action="store_true", help="print the run as JSON")

    def handle(self, *, name: str, wait: bool, local: bool, **options: Any) -> None:
        run = self._enqueue(name, send_message=not local, **options)
        if local:
            self._train(run)
        elif wait:
            with ends_when_interrupted(f"run {run.run_id}"):
                self._follow(run, self.stderr if options["json"] else self.stdout)
        run = TrainingRun.objects.select_related("policy", "version", "started_from", "initial_version").get(pk=run.pk)
        self._report(run, options["json"])
        if (wait or local) and run.status != TrainingRun.Status.SUCCEEDED:
            sys.exit(FAILED)

    def _enqueue(self, name: str, *, start: str | None, send_message: bool, **options: Any) -> TrainingRun:
        try:
            policy = keys.find_policy(name)
            chosen = RunOptions(
                options["episodes"], options["seed"], version_number(policy, start), from_scratch=start == "scratch"
            )
            return trigger_run(policy, TrainingRun.Trigger.COMMAND, chosen, send_message=send_message)
        except WeightsRemovedError as error:
            raise CommandError(f"--from {start}: {error}", returncode=WRONG_USAGE) from None
        except UnknownVersionError:
            raise unknown_version(policy, start) from None
        except keys.SettingError as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from None
        except InvalidConfigError as error:
            raise CommandError(f"{name}: the stored settings are invalid: {error}", returncode=WRONG_USAGE) from None
        except lifecycle.AlreadyActiveError as error:
            raise CommandError(str(error), returncode=ALREADY_ACTIVE) from None

    def _train(self, run: TrainingRun) -> None:
        claimed = lifecycle.claim(run.run_id)
        if claimed is None:
            raise CommandError(f"run {run.run_id} was taken by a worker", returncode=FAILED)
        try:
            execute(claimed, should_stop=lambda: False)
        except KeyboardInterrupt:
            raise CommandError(f"run {run.run_id} was interrupted", returncode=INTERRUPTED) from None
        except Exception as error:
            self.stderr.write(explain(error))

    def _follow(self, run: TrainingRun, out: OutputWrapper) -> None:
        """Show the progress until the run has ended: a bar on a terminal, else lines in `out`."""

        def progress() -> tuple[int, str]:
            return run.episodes_done, f"episode {run.episodes_done} of {run.episodes}"

        if not (sys.stderr.isatty() and (out is self.stderr or self.stdout.isatty())):
            follow(run, f"Run {run.run_id}", out, progress, "episodes_done")
            return
        with tqdm(total=run.episodes, unit="episode", desc=run.run_id) as bar:
            for _ in until_ended(run, "episodes_done"):
                bar.update(run.episodes_done - bar.n)
            bar.update(run.episodes_done - bar.n)

    def _report(self, run: TrainingRun, as_json: bool) -> None:
        described = describe_run(run)
        if as_json:
            self.stdout.write(json.dumps(described))
            return
        for field, value in described.items():
            if isinstance(value, dict):
                value = ", ".join(f"{name} {part}" for name, part in value.items())
            if value not in (None, "", []):
                self.stdout.write(escape_control_characters(f"{field}: {value}"))
