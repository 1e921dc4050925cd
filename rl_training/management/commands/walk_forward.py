import argparse
import json
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, OutputWrapper

from quantum_trader.logs import escape_control_characters
from rl_training import keys
from rl_training.core.run.walk_forward.folds import FOLDS
from rl_training.core.words import count_of
from rl_training.management.arguments import number_option
from rl_training.management.following import INTERRUPTED, POLL_SECONDS, ends_when_interrupted, follow
from rl_training.models import RANGES, InvalidConfigError, PolicyStore, Validation, ValidationStep
from rl_training.settings_change import SettingsRefusedError
from rl_training.validation import reports, requesting, steps
from rl_training.validation.requesting import AlreadyValidatingError, Options
from rl_training.worker import validating
from rl_training.worker.execution import explain

FAILED, WRONG_USAGE, ALREADY_ACTIVE = 1, 2, 3


class Command(BaseCommand):
    help = (
        "Walk a policy's recipe forward: retrain it over history, and trade the bars after each training. This is a "
        "trial unless the recipe is validated already; each trial leaves a smaller level for the next trial. Exit "
        "status: 0 queued (with --wait or --local: any verdict), 1 failed, 2 wrong usage, 3 it is running already."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument(
            "--folds",
            type=number_option(1, requesting.MOST_FOLDS),
            default=FOLDS,
            help="number of retrainings (default: 8)",
        )
        parser.add_argument(
            "--window",
            type=number_option(1, 2**31 - 1),
            help="train on this number of last bars only (default: on all earlier bars)",
        )
        parser.add_argument(
            "--seeds",
            type=number_option(*RANGES["seeds"]),
            help="members of each version (default: the policy's seeds)",
        )
        parser.add_argument("--seed", type=number_option(0, requesting.LAST_SEED), help="default: random")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            dest="changes",
            metavar="KEY=VALUE",
            help="a setting that differs from the policy's, such as ppo.gamma=0.9; may be given several times",
        )
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--wait", action="store_true", help="wait until workers have finished the walk-forward")
        where.add_argument("--local", action="store_true", help="compute the walk-forward in this process")
        parser.add_argument("--json", action="store_true", help="print the validation as JSON")

    def handle(self, *, name: str, wait: bool, local: bool, **options: Any) -> None:
        policy = self._policy(name)
        chosen = self._options(**options)
        self._announce(policy, chosen)
        validation = self._request(policy, chosen, send_message=not local)
        if local:
            self._compute(validation)
        elif wait:
            with ends_when_interrupted(f"validation {validation}"):
                self._follow(validation, self.stderr if options["json"] else self.stdout)
        validation = Validation.objects.select_related("policy", "trial", "monitored").get(pk=validation.pk)
        self._report(validation, options["json"])
        if (wait or local) and validation.status != Validation.Status.SUCCEEDED:
            sys.exit(FAILED)

    def _policy(self, name: str) -> PolicyStore:
        try:
            return keys.find_policy(name)
        except keys.SettingError as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from None

    def _options(
        self, *, folds: int, window: int | None, seeds: int | None, seed: int | None, changes: list[str], **_: Any
    ) -> Options:
        texts: dict[str, Any] = {} if seeds is None else {"seeds": seeds}
        for change in changes:
            key, equals, text = change.partition("=")
            if not equals:
                raise CommandError(f"--set {change}: expected KEY=VALUE, such as ppo.gamma=0.9", returncode=WRONG_USAGE)
            if key in texts:
                raise CommandError(f"--set {key}: given more than once", returncode=WRONG_USAGE)
            try:
                texts[key] = keys.read_value(key, text)
            except keys.SettingError as error:
                raise CommandError(f"--set {error}", returncode=WRONG_USAGE) from None
        try:
            return Options(folds, window, seed, requesting.changes_of(texts))
        except SettingsRefusedError as error:
            raise CommandError(f"--set {error}", returncode=WRONG_USAGE) from None

    def _announce(self, policy: PolicyStore, options: Options) -> None:
        """Print the estimated time. Refused settings are reported later, by the request."""
        try:
            seconds = reports.estimated_seconds(policy, options)
        except (InvalidConfigError, SettingsRefusedError):
            return
        known = f"about {max(seconds, 1) / 60:.1f} minutes of one training process" if seconds else "not known yet"
        self.stderr.write(f"Estimated time: {known}.")

    def _request(self, policy: PolicyStore, options: Options, *, send_message: bool) -> Validation:
        try:
            validation = requesting.request(policy, options, send_message=send_message)
        except (InvalidConfigError, SettingsRefusedError, requesting.OptionsError) as error:
            raise CommandError(f"{policy.name}: {error}", returncode=WRONG_USAGE) from None
        except AlreadyValidatingError as error:
            raise CommandError(str(error), returncode=ALREADY_ACTIVE) from None
        if validation.folds != options.folds:
            folds = count_of(validation.folds, "fold")
            self.stderr.write(f"It has {folds}, like validation {validation.monitored}, which it monitors.")
        return validation

    def _compute(self, validation: Validation) -> None:
        try:
            while validation.status in Validation.ACTIVE:
                step = validation.steps.filter(status=ValidationStep.Status.QUEUED).order_by("pk").first()
                claimed = steps.claim(step.step_id) if step else None
                if claimed is None:
                    # A worker that runs beside this process has the others.
                    time.sleep(POLL_SECONDS)
                else:
                    validating.execute(claimed, should_stop=lambda: False)
                validation.refresh_from_db(fields=["status"])
        except KeyboardInterrupt:
            steps.cancel(validation)
            raise CommandError(f"validation {validation} was interrupted", returncode=INTERRUPTED) from None
        except Exception as error:
            self.stderr.write(explain(error))

    def _follow(self, validation: Validation, out: OutputWrapper) -> None:
        def progress() -> tuple[int, str]:
            done = validation.steps.filter(status=ValidationStep.Status.SUCCEEDED).count()
            return done, f"{done} of {validation.steps.count()} steps done"

        follow(validation, f"Validation {validation}", out, progress)

    def _report(self, validation: Validation, as_json: bool) -> None:
        described = reports.describe(validation, list(validation.steps.all()))
        described["budget"] = reports.budget(validation.market_key, settings.PROMOTION_ALPHA)
        if as_json:
            self.stdout.write(json.dumps(described))
            return
        for field in ("validation_id", "policy", "market", "status", "trial", "level", "monitors", "answer"):
            if described[field] is not None:
                self.stdout.write(escape_control_characters(f"{field}: {described[field]}"))
        for fold in described["folds"]:
            self.stdout.write(_fold_line(fold))


def _fold_line(fold: dict[str, Any]) -> str:
    period = f"fold {fold['number']}: {fold['first_traded_at'][:10]} to {fold['last_traded_at'][:10]}"
    if fold["total_return"] is None:
        return f"{period}: {fold['status']}"
    sharpe = "none" if fold["sharpe"] is None else f"{fold['sharpe']:.2f}"
    return f"{period}: {fold['total_return']:+.1%}, Sharpe ratio {sharpe}, drawdown {fold['max_drawdown']:.1%}"
