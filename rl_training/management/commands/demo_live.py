import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from quantum_trader import health, state_dir
from quantum_trader.processes import BASE_DIR
from rl_training.accounts.first_start import first_admin
from rl_training.core.market_config import MarketConfig
from rl_training.models import Arm, ArmComparison, Decision, PolicyStore

POLICY, FILE, PASSWORD = "demo", "live.csv", "demo"
# The hourly bars of the planted market close every two seconds.
SPEED, HISTORY = "1800", "3000"
DECISIONS = 5
READY_WITHIN_SECONDS = 180.0
POLL_SECONDS = 0.2


class Command(BaseCommand):
    help = (
        "Show decisions on a replayed market: start the system on an empty STATE_DIR, train two versions, "
        "promote one, follow its decisions and paper accounts, compare it with flat on new bars and with the other "
        "version on past ones, and go on until Ctrl-C."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--once", action="store_true", help="end after the comparison, with status 0")

    def handle(self, *, once: bool, **_: Any) -> None:
        if settings.STATE_DIR.exists() and any(settings.STATE_DIR.iterdir()):
            raise CommandError(f"STATE_DIR, {settings.STATE_DIR}, is not empty; name a new folder", returncode=2)
        web, flower = state_dir.free_ports(2)
        self.site = f"http://127.0.0.1:{web}"
        self.environment = os.environ | {
            "WEB_PORT": str(web),
            "FLOWER_PORT": str(flower),
            "ADMIN_PASSWORD": PASSWORD,
            "PYTHONUNBUFFERED": "1",
            # A bar takes two seconds, and on a busy machine a decision may come more than two bars late.
            "MAX_BAR_AGE": "30",
        }
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(shutil.rmtree, settings.STATE_DIR, ignore_errors=True)
                self._show(stack, once)
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")

    def _show(self, stack: contextlib.ExitStack, once: bool) -> None:
        settings.STATE_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = stack.enter_context((settings.STATE_DIR / "up.log").open("w"))
        self._say("Starting the system; the first time on a machine, it compiles for about a minute ...")
        call_command("migrate", interactive=False, verbosity=0)
        PolicyStore.objects.update(enabled=False)
        policy = PolicyStore.objects.create(
            name=POLICY, enabled=False, seeds=1, drawdown_limit=100, market=MarketConfig(source="file", path=FILE)
        )
        up = stack.enter_context(self._process("up", stdout=log, stderr=log))
        self._wait(lambda: health.answers(f"{self.site}/healthz"), up)
        self._say(f"Pages: {self.site}/policies/{POLICY}/decisions/  login: {first_admin().name}, password: {PASSWORD}")
        replay = ("market_replay", "planted", "--speed", SPEED, "--history", HISTORY, "--to", FILE)
        stack.enter_context(self._process(*replay, stdout=log, stderr=log))
        self._wait((settings.MARKET_DATA_ROOT / FILE).exists, up)
        self._command("train_policy", policy.name, "--wait")
        self._command("policy_promote", POLICY, "1", "--reason", "The demonstration begins.")
        self._follow(1, up)
        self._command("policy_compare_arms", POLICY, "live", "--against", "flat")
        self._follow(DECISIONS, up)
        self._command("policy_compare_arms", POLICY)
        self._say(f"Comparison: {self.site}/arm-comparisons/{ArmComparison.objects.latest('requested_at')}/")
        self._command("train_policy", POLICY, "--wait")
        self._command("policy_compare", f"{POLICY}:1", f"{POLICY}:2", "--wait")
        self._command("policy_promote", POLICY, "2", "--reason", "To show how the accounts follow a change of version.")
        self._follow(2, up)
        self._command("policy_accounts", POLICY, "--replay")
        self._command("policy_compare_arms", POLICY, "--replay")
        if not once:
            self._say("The market goes on until Ctrl-C.")
            self._follow(None, up)

    @contextlib.contextmanager
    def _process(self, *command: str, **output: Any) -> Iterator["subprocess.Popen[bytes]"]:
        whole = [sys.executable, "manage.py", *command]
        process = subprocess.Popen(whole, cwd=BASE_DIR, env=self.environment, **output)  # noqa: S603
        try:
            yield process
        finally:
            process.terminate()
            process.wait()

    def _command(self, *command: str) -> None:
        """Run a command of manage.py, after showing it."""
        self._say(f"$ manage.py {shlex.join(command)}")
        whole = [sys.executable, "manage.py", *command]
        if subprocess.call(whole, cwd=BASE_DIR, env=self.environment):  # noqa: S603
            raise CommandError(f"{command[0]} failed")

    def _wait(self, condition: Callable[[], bool], up: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not condition():
            if up.poll() is not None or time.monotonic() > deadline:
                raise CommandError((settings.STATE_DIR / "up.log").read_text()[-2000:])
            time.sleep(POLL_SECONDS)

    def _follow(self, count: int | None, up: "subprocess.Popen[bytes]") -> None:
        """Print the next `count` decisions when they are made, or all decisions forever."""
        last = Decision.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        shown = 0
        while count is None or shown < count:
            rows = Decision.objects.filter(pk__gt=last, arm__kind=Arm.Kind.LIVE).order_by("pk")
            self._wait(rows.exists, up)
            for row in rows.select_related("arm", "version"):
                last, shown = row.pk, shown + 1
                self._say(described(row))

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def described(decision: Decision) -> str:
    """Return a decision as a line."""
    by = f"version {decision.version.number}" if decision.version else "nothing live"
    probabilities = ", ".join(f"{value:.2f}" for value in decision.probabilities or [])
    late = (decision.decided_at - decision.bar_closed_at).total_seconds()
    line = f"{decision.bar_closed_at:%H:%M:%S} {by}: target {decision.target_position:+g} ({probabilities})"
    return f"{line}, equity {decision.equity:.4f}, {max(0.0, late):.1f} s after the close. {decision.note}".rstrip()
