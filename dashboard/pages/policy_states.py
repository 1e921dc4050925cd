"""The state of policies as pages show it: the active run, the last run, and the record of the last runs."""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from dashboard.pages.active_runs import active_runs
from rl_training.models import PolicyStore, TrainingRun

# The success rate counts this many finished runs.
RECORD = 50
# The drawing of a record has this width per run and this height, in SVG units.
STEP, HEIGHT = 2, 14


@dataclass(frozen=True)
class Record:
    """The outcomes of the last runs, oldest first: `s` succeeded, `f` failed.

    The drawing has a line for each run; the line of a failed run is longer.
    """

    letters: str

    @property
    def total(self) -> int:
        return len(self.letters)

    @property
    def succeeded(self) -> int:
        return self.letters.count("s")

    @property
    def rate(self) -> float | None:
        return self.succeeded / self.total if self.letters else None

    @property
    def width(self) -> int:
        return STEP * RECORD

    @property
    def succeeded_path(self) -> str:
        return self._path("s", 3, HEIGHT - 6)

    @property
    def failed_path(self) -> str:
        return self._path("f", 0, HEIGHT)

    def _path(self, letter: str, top: int, length: int) -> str:
        first = RECORD - len(self.letters)
        places = (first + place for place, found in enumerate(self.letters) if found == letter)
        return "".join(f"M{STEP * place + 1} {top}v{length}" for place in places)


def add_states(policies: list[Any]) -> None:
    """Set `active` run, `last` run, `recent` record and `is_due` on policies that were read `with_record`."""
    pks = [policy.pk for policy in policies]
    active = {run.run.policy_id: run for run in active_runs(TrainingRun.objects.watched().filter(policy__in=pks))}
    newest = [policy.newest_run for policy in policies if policy.newest_run]
    columns = ("run_id", "status", "finished_at", "error", "avg_reward", "duration_seconds", "policy_id")
    last = {run.policy_id: run for run in TrainingRun.objects.filter(pk__in=newest).only(*columns)}
    now = timezone.now()
    for policy in policies:
        policy.active = active.get(policy.pk)
        policy.last = last.get(policy.pk)
        policy.recent = Record((policy.record or "")[::-1])
        policy.is_due = policy.next_run_at <= now


def state_of(name: str) -> Any:
    """Return the policy with that name and its state, or None."""
    found = list(PolicyStore.objects.with_record(RECORD).filter(name=name))
    add_states(found)
    return found[0] if found else None
