"""The conditions of the rules: pure functions from facts to a verdict. `kinds.SPECS` states each condition in words."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from rl_training.alerts.facts import FinishedRun, PolicyFacts
from rl_training.alerts.kinds import DURATION_RUNS, Kind
from rl_training.core.market.reading import WORDS
from rl_training.core.words import count_of
from rl_training.storage.readings import Disk

# The smallest deviation of the durations' logarithms: 5 %. Without this limit, a small delay would count as unusual
# after runs that all took the same time.
SMALLEST_DEVIATION = math.log(1.05)
# Scales the median absolute deviation (MAD) so that the score equals the z-score for a normal distribution (Iglewicz
# and Hoaglin, 1993).
MAD_SCALE = 0.6745


class State(Enum):
    """A verdict without a message."""

    GONE = "gone"  # The condition does not hold, or too few runs or versions can be judged. An open alert is resolved.
    UNKNOWN = "unknown"  # The facts are missing. An open alert stays open, and no alert opens.


@dataclass(frozen=True)
class Holds:
    """The verdict that the condition holds.

    message  for users
    run      the primary key of the run that caused it
    renews   whether a message other than the open alert's resolves that alert and opens a new alert
    """

    message: str
    run: int | None = None
    renews: bool = False


Verdict = Holds | State


@dataclass(frozen=True)
class Rule:
    """The columns of a rule, with the defaults of its kind filled in."""

    pk: int
    kind: str
    policy: int | None
    threshold: float
    window: int


def evaluate_runs(rule: Rule, runs: Sequence[FinishedRun]) -> Verdict:
    """Evaluate a rule of a kind in `RUN_CONDITIONS` on a policy's last finished runs, newest first."""
    return RUN_CONDITIONS[rule.kind](rule, runs)


def run_failed(rule: Rule, runs: Sequence[FinishedRun]) -> Verdict:
    if not runs or runs[0].succeeded:
        return State.GONE
    return Holds(f"Run {runs[0].run_id} failed: {runs[0].error or 'no reason is known'}", runs[0].pk)


def success_rate(rule: Rule, runs: Sequence[FinishedRun]) -> Verdict:
    last = runs[: rule.window]
    succeeded = sum(run.succeeded for run in last)
    if len(last) < rule.window or succeeded / rule.window >= rule.threshold:
        return State.GONE
    share = f"{succeeded} of the last {rule.window} runs succeeded"
    return Holds(f"{share}, {succeeded / rule.window:.0%}; at least {rule.threshold:.0%} should.", last[0].pk)


def duration(rule: Rule, runs: Sequence[FinishedRun]) -> Verdict:
    timed = [run for run in runs if run.succeeded and run.duration_seconds is not None and run.duration_seconds > 0]
    earlier = [run for run in timed[1:] if (run.episodes, run.market) == (timed[0].episodes, timed[0].market)][
        : rule.window
    ]
    if len(earlier) < DURATION_RUNS:
        return State.GONE
    logs = [math.log(run.duration_seconds or 1.0) for run in (timed[0], *earlier)]
    usual = statistics.median(logs[1:])
    deviation = max(SMALLEST_DEVIATION, statistics.median(abs(log - usual) for log in logs[1:]))
    score = MAD_SCALE * (logs[0] - usual) / deviation
    if abs(score) <= rule.threshold:
        return State.GONE
    took = f"Run {timed[0].run_id} took {timed[0].duration_seconds:,.1f} s; {math.exp(usual):,.1f} s is usual"
    return Holds(f"{took}: the robust z-score of {score:.1f} is beyond {rule.threshold:g}.", timed[0].pk)


def reward(rule: Rule, runs: Sequence[FinishedRun]) -> Verdict:
    rewarded = [(run, run.avg_reward) for run in runs if run.succeeded and run.avg_reward is not None]
    earlier = [value for run, value in rewarded[1:] if run.market == rewarded[0][0].market][: rule.window]
    if len(earlier) < rule.window:
        return State.GONE
    (run, value), usual = rewarded[0], statistics.median(earlier)
    if value >= usual - rule.threshold:
        return State.GONE
    fell = f"The average reward of run {run.run_id}, {value:.4g}, is {usual - value:.4g} under"
    return Holds(
        f"{fell} the median of the {rule.window} runs before it, {usual:.4g}; {rule.threshold:g} is allowed.", run.pk
    )


def market_data(rule: Rule, runs: Sequence[FinishedRun]) -> Verdict:
    same = [run for run in runs if runs[0].market is not None and run.market == runs[0].market]
    earlier = same[1 : 1 + rule.window]
    if not earlier:
        return State.GONE
    new = same[0].data_kinds.difference(*(run.data_kinds for run in earlier))
    if not new:
        return State.GONE
    words = "; ".join(WORDS.get(kind, kind) for kind in sorted(new))
    return Holds(f"New in the bars of run {same[0].run_id}, {same[0].market}: {words}.", same[0].pk)


def overdue(rule: Rule, policy: PolicyFacts, now: datetime) -> Verdict:
    since = max(filter(None, (policy.last_finished_at, policy.last_skipped, policy.updated_at)))
    if not policy.enabled or now - since <= rule.threshold * policy.interval:
        return State.GONE
    minutes, interval = (now - since).total_seconds() / 60, policy.interval.total_seconds() / 60
    every = "every minute" if interval == 1 else f"every {interval:,.0f} minutes"
    return Holds(f"No run finished for {count_of(minutes, 'minute')}; one is due {every}.")


def outbox_lag(rule: Rule, seconds: float) -> Verdict:
    if seconds <= rule.threshold:
        return State.GONE
    return Holds(f"The oldest event waits for its Redis stream for {seconds:,.0f} s.")


def failed_logins(rule: Rule, number: int) -> Verdict:
    if number < rule.threshold:
        return State.GONE
    found = f"{count_of(number, 'login')} failed in the last {count_of(rule.window, 'minute')}."
    return Holds(f"{found} The log of web and Flower names users and addresses; the admin lists what is refused now.")


def disk_full(rule: Rule, disks: Sequence[Disk], now: datetime) -> Verdict:
    for disk in disks:
        left = disk.full_at - now if disk.full_at else None
        soon = left is not None and left <= timedelta(days=rule.threshold)
        if soon or disk.free_share < rule.window / 100:
            free = f"{disk.free / 1e9:,.1f} GB, {disk.free_share:.0%}, of the disk of {disk.name} is free"
            when = f"; it will be full on {disk.full_at:%Y-%m-%d}" if disk.full_at else ""
            return Holds(f"{free}{when}. The page Storage shows what uses it.")
    return State.GONE


def silent(rule: Rule, process: str, age: float | None, observed: float) -> Verdict:
    """Evaluate a rule about missing heartbeats.

    `age` is the age in seconds of the newest heartbeat, None without one. `observed` is the number of seconds during
    which a heartbeat would have been seen.
    """
    if age is not None and age <= rule.threshold:
        return State.GONE
    if observed <= rule.threshold:
        return State.UNKNOWN
    last = "none was seen" if age is None else f"the last was {age:,.0f} s ago"
    return Holds(f"No heartbeat of {process} for more than {rule.threshold:g} s: {last}.")


RUN_CONDITIONS = {
    Kind.RUN_FAILED.value: run_failed,
    Kind.SUCCESS_RATE.value: success_rate,
    Kind.DURATION.value: duration,
    Kind.REWARD.value: reward,
    Kind.MARKET_DATA.value: market_data,
}
