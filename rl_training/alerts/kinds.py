"""The kinds of alerts with their parameters: the one table that the admin form and the evaluator read."""

from dataclasses import dataclass
from typing import Literal

from django.db import models

Severity = Literal["critical", "warning", "info"]
# With fewer earlier runs, a z-score depends more on chance than on the run.
DURATION_RUNS = 10


class Kind(models.TextChoices):
    RUN_FAILED = "run_failed", "a run failed"
    SUCCESS_RATE = "success_rate", "too few runs succeed"
    DURATION = "duration", "a run's duration is unusual"
    REWARD = "reward", "the reward fell"
    OVERDUE = "overdue", "no run finishes"
    WORSE_THAN_FLAT = "worse_than_flat", "the newest version is worse than flat"
    WORSE_THAN_HOLDING = "worse_than_holding", "the newest version is worse than buy and hold"
    NEVER_TRADES = "never_trades", "the newest version never trades"
    SAME_POSITION = "same_position", "the newest version always holds the same position"
    OVERFITS = "overfits", "the reward rises while the held-out result falls"
    LIVE_CHANGED = "live_changed", "what is live was changed"
    NOTHING_LIVE = "nothing_live", "nothing is live"
    LIVE_VERSION_OLD = "live_version_old", "the live version is old"
    VERSION_HELD_BACK = "version_held_back", "the newest version is held back"
    VALIDATION_ENDED = "validation_ended", "a validation ended"
    VALIDATION_FAILED = "validation_failed", "a validation failed"
    MARKET_DATA = "market_data", "the market data has a new kind of fault"
    DECISIONS_OLD = "decisions_old", "no new bar is decided"
    BARS_REVISED = "bars_revised", "bars changed at the source"
    COMPARISON_ENDED = "comparison_ended", "a comparison on new bars has a verdict"
    DEMOTED = "demoted", "a guard ended what was live"
    BEAT_SILENT = "beat_silent", "beat is silent"
    WORKERS_SILENT = "workers_silent", "all workers are silent"
    OUTBOX_LAG = "outbox_lag", "events wait for Redis"
    FAILED_LOGINS = "failed_logins", "many logins fail"
    DISK_FULL = "disk_full", "a disk fills up"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a rule: its default, its range and its meaning."""

    default: float
    minimum: float
    maximum: float
    meaning: str

    def allows(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum

    def __str__(self) -> str:
        return f"{self.meaning}: {self.minimum:g} to {self.maximum:g}, {self.default:g} when empty"


@dataclass(frozen=True)
class Spec:
    """A kind's condition in words and its parameters.

    `threshold` and `window` are None where the kind has no such parameter. `of_policy` is False for a kind that
    concerns the whole system. A `warning` is about quality: the system works and goes on training. An `info` requires
    no action.
    """

    condition: str
    threshold: Parameter | None = None
    window: Parameter | None = None
    of_policy: bool = True
    severity: Severity = "critical"

    def effective_threshold(self, value: float | None) -> float:
        """Return the rule's threshold, or the default if the rule has none."""
        return value if value is not None else self.threshold.default if self.threshold else 0.0

    def effective_window(self, value: int | None) -> int:
        """Return the rule's window, or the default if the rule has none."""
        return value if value is not None else int(self.window.default) if self.window else 1


SPECS: dict[str, Spec] = {
    Kind.RUN_FAILED: Spec("The policy's last finished run failed."),
    Kind.SUCCESS_RATE: Spec(
        "The share of successful runs among the last finished runs is below the threshold. Judged once this number of "
        "runs has finished.",
        threshold=Parameter(0.8, 0.01, 1.0, "the share that must succeed"),
        window=Parameter(20, 2, 500, "the number of runs"),
    ),
    Kind.DURATION: Spec(
        "The last run's duration is far from the durations of earlier successful runs on its market with as many "
        "episodes: its robust z-score, 0.6745 x (log duration - median) / MAD, is beyond the threshold on either side. "
        f"Judged after {DURATION_RUNS} such runs; a MAD under 5 % counts as 5 %.",
        threshold=Parameter(3.5, 1.0, 100.0, "the z-score"),
        window=Parameter(50, DURATION_RUNS, 500, "the number of earlier runs"),
        severity="warning",
    ),
    Kind.REWARD: Spec(
        "The last successful run's average reward is lower than the median of the successful runs before it on "
        "its market by more than the threshold. Rewards are log returns: 0.1 is about 10 % of the equity. Judged "
        "once this number of runs has succeeded before it.",
        threshold=Parameter(0.1, 0.0001, 1000.0, "the fall"),
        window=Parameter(10, 3, 500, "the number of earlier runs"),
        severity="warning",
    ),
    Kind.OVERDUE: Spec(
        "The policy is enabled, and no run of it finished for so many of its intervals. Intervals count from the last "
        "finished run, from the last edit of the policy, or from the last slot if that lacked new bars, whichever is "
        "later.",
        threshold=Parameter(3, 1, 1000, "the number of intervals"),
    ),
    Kind.WORSE_THAN_FLAT: Spec(
        "The newest version's return on the held-out bars is lower than the return of staying flat by more than the "
        "threshold.",
        threshold=Parameter(0.0, 0.0, 1000.0, "the difference of returns, 0.1 is 10 %"),
        severity="warning",
    ),
    Kind.WORSE_THAN_HOLDING: Spec(
        "The newest version's return on the held-out bars is lower than the return of buy and hold by more than the "
        "threshold.",
        threshold=Parameter(0.0, 0.0, 1000.0, "the difference of returns, 0.1 is 10 %"),
        severity="warning",
    ),
    Kind.NEVER_TRADES: Spec("The newest version stays flat on all held-out bars.", severity="warning"),
    Kind.SAME_POSITION: Spec(
        "The newest version trades once, at the first held-out bar, and holds this position to the last.",
        severity="warning",
    ),
    Kind.OVERFITS: Spec(
        "Of all pairs of the last versions with one market, train_fraction and episode_length, at least this share "
        "has a higher average training reward in the later version, and at least this share a lower return on the "
        "held-out bars. Judged once there are so many versions.",
        threshold=Parameter(0.8, 0.5, 1.0, "the share of pairs"),
        window=Parameter(6, 3, 50, "the number of versions"),
        severity="warning",
    ),
    Kind.LIVE_CHANGED: Spec(
        "A user, a command or a guard changed what is live in the last minutes. Automatic promotions do not count.",
        threshold=Parameter(60, 1, 10_080, "the number of minutes"),
        severity="info",
    ),
    Kind.NOTHING_LIVE: Spec(
        "The policy is enabled and has a version, and nothing has been live for so many hours, counted from the "
        "deployment that went flat, or from the first version.",
        threshold=Parameter(24, 0.1, 8_760, "the number of hours"),
        severity="warning",
    ),
    Kind.LIVE_VERSION_OLD: Spec(
        "The live version was made more than so many days ago.",
        threshold=Parameter(30, 0.01, 3_650, "the number of days"),
        severity="warning",
    ),
    Kind.VERSION_HELD_BACK: Spec(
        "The policy's promotion is validated, and the gate holds the newest version back.", severity="warning"
    ),
    Kind.VALIDATION_ENDED: Spec(
        "Monitoring ended the validation of the policy's recipe. Holds until a later trial has a verdict, or until "
        "what is live was changed since.",
        severity="warning",
    ),
    Kind.VALIDATION_FAILED: Spec("The policy's newest walk-forward failed.", severity="warning"),
    Kind.MARKET_DATA: Spec(
        "The bars of the last run have a kind of repair, drop or suspicion that those of the earlier runs on this "
        "market did not have.",
        window=Parameter(20, 1, 500, "the number of earlier runs"),
        severity="warning",
    ),
    Kind.DECISIONS_OLD: Spec(
        "A version is live on a market that grows, and the newest bar closed so many bars ago: the source fails or is "
        "late, or the process `decide` is off.",
        threshold=Parameter(2, 1, 1_000, "the number of bars"),
    ),
    Kind.BARS_REVISED: Spec(
        "Bars that a policy has decided on, or seen, changed at the source in the last minutes. Stored decisions stay.",
        threshold=Parameter(60, 1, 10_080, "the number of minutes"),
        severity="warning",
    ),
    Kind.COMPARISON_ENDED: Spec(
        "A comparison of two arms of the policy on new bars had a verdict in the last minutes.",
        threshold=Parameter(1_440, 1, 10_080, "the number of minutes"),
        severity="info",
    ),
    Kind.DEMOTED: Spec(
        "A guard ended what was live, and what is live has not changed since.",
        severity="critical",
    ),
    Kind.BEAT_SILENT: Spec(
        "No beat process wrote a heartbeat; beat writes one every second.",
        threshold=Parameter(60, 15, 3600, "seconds of silence"),
        of_policy=False,
    ),
    Kind.WORKERS_SILENT: Spec(
        "No worker wrote a heartbeat; a worker writes one every two seconds, also while it trains.",
        threshold=Parameter(120, 30, 3600, "seconds of silence"),
        of_policy=False,
    ),
    Kind.OUTBOX_LAG: Spec(
        "The oldest event that is not on its Redis stream yet has waited for this time.",
        threshold=Parameter(60, 10, 86_400, "seconds"),
        of_policy=False,
    ),
    Kind.FAILED_LOGINS: Spec(
        "So many logins failed in the last minutes, by password, API token or metrics token, on the site or on Flower. "
        "Refused logins count too. The log names the user and the address of each login.",
        threshold=Parameter(100, 1, 1_000_000, "the number of failed logins"),
        window=Parameter(10, 1, 1440, "the number of minutes"),
        of_policy=False,
    ),
    Kind.DISK_FULL: Spec(
        "A disk with files of the system will be full within so many days, by its readings of the last week, or too "
        "little of the disk is free. The page Storage shows what uses the disk.",
        threshold=Parameter(30, 1, 365, "the number of days"),
        window=Parameter(5, 1, 50, "the percentage that must be free"),
        of_policy=False,
    ),
}
POLICY_KINDS = tuple(kind for kind, spec in SPECS.items() if spec.of_policy)
INFO_KINDS = tuple(kind for kind, spec in SPECS.items() if spec.severity == "info")
SYSTEM_KINDS = tuple(kind for kind, spec in SPECS.items() if not spec.of_policy)
