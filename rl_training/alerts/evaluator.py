"""All rules held against what is the case, in one round."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import redis
from django.db.models import Q
from django.utils import timezone

from rl_training.alerts import facts, judging, state_changes
from rl_training.alerts.facts import PolicyFacts
from rl_training.alerts.judging import Holds, Rule, State, Verdict
from rl_training.alerts.kinds import SPECS, Kind
from rl_training.alerts.models import Alert, AlertRule, Round
from rl_training.presence import heartbeats

EVERY_SECONDS = 10.0
# Of two processes that evaluate, the second finds the round taken; a little less than their pause.
ROUND_TAKEN_FOR = timedelta(seconds=EVERY_SECONDS - 2)
SILENT: dict[str, tuple[heartbeats.Kind, str]] = {
    Kind.BEAT_SILENT: ("beat", "a beat"),
    Kind.WORKERS_SILENT: ("worker", "a worker"),
}


class Evaluator:
    """Holds all rules against what is the case. What it remembers only spares it from reading runs again."""

    def __init__(self) -> None:
        # By rule: what the verdict was found from, and the verdict.
        self._known: dict[int, tuple[tuple[Any, ...], Verdict]] = {}
        self._listening_since = time.monotonic()

    def round(self, now: datetime | None = None) -> bool:
        """Open and resolve alerts, if it is time to; False when another process has just done it.

        The number of queries depends neither on the rules nor on the runs, but for one for each hundred policies that
        finished a run since the last round.
        """
        now = now or timezone.now()
        if not take_round(now):
            return False
        # Read first: an alert that opens from here on was opened by somebody who knows more than what is read below.
        open_alerts = dict(Alert.objects.open().values_list("rule", "pk"))
        verdicts = self._verdicts(now)
        opened = [(rule, found) for rule, found in verdicts if isinstance(found, Holds) and rule.pk not in open_alerts]
        kept = {rule.pk for rule, found in verdicts if found is not State.GONE}
        gone = [alert for rule, alert in open_alerts.items() if rule not in kept]
        if opened:
            state_changes.open_alerts(opened)
        if gone:
            state_changes.resolve(gone)
        return True

    def _verdicts(self, now: datetime) -> list[tuple[Rule, Verdict]]:
        rules, policies, lag = enabled_rules(), facts.policies(), facts.outbox_lag(now)
        known = [(rule, policies.get(rule.policy or 0)) for rule in rules]
        self._judge_runs((rule, policy) for rule, policy in known if policy and rule.kind in judging.OF_RUNS)
        return [(rule, self._verdict(rule, policy, lag, now)) for rule, policy in known]

    def _verdict(self, rule: Rule, policy: PolicyFacts | None, lag: float, now: datetime) -> Verdict:
        if rule.kind == Kind.OUTBOX_LAG:
            return judging.outbox_lag(rule, lag)
        if rule.kind in SILENT:
            return self._silence(rule)
        if policy is None:  # made since the policies were read
            return State.UNKNOWN
        return judging.overdue(rule, policy, now) if rule.kind == Kind.OVERDUE else self._known[rule.pk][1]

    def _judge_runs(self, rules: Iterable[tuple[Rule, PolicyFacts]]) -> None:
        """Have the verdict of each rule in `_known`: that of the last round, where nothing is new."""
        known, self._known = self._known, {}
        new: dict[int, list[tuple[Rule, tuple[Any, ...]]]] = {}
        for rule, policy in rules:
            basis = (policy.total_runs, rule.threshold, rule.window)
            if rule.pk in known and known[rule.pk][0] == basis:
                self._known[rule.pk] = known[rule.pk]
            else:
                new.setdefault(policy.pk, []).append((rule, basis))
        # Half of the runs may have failed where only successful ones count; and one is compared with those before it.
        number = 2 * max((rule.window for found in new.values() for rule, _ in found), default=0) + 1
        for pk, runs in facts.last_runs(sorted(new), number):
            for rule, basis in new[pk]:
                self._known[rule.pk] = basis, judging.of_runs(rule, runs)

    def _silence(self, rule: Rule) -> Verdict:
        """Without Redis nobody can be heard; silence counts from when one could have been."""
        kind, who = SILENT[rule.kind]
        try:
            age = min(heartbeats.ages(kind).values(), default=None)
        except redis.RedisError:
            self._listening_since = time.monotonic()
            return State.UNKNOWN
        return judging.silent(rule, who, age, time.monotonic() - self._listening_since)


def take_round(now: datetime) -> bool:
    """Whether it is the caller's to evaluate the rules now: none began lately, nor in a future that was set back."""
    free = Q(began_at__lte=now - ROUND_TAKEN_FOR) | Q(began_at__gt=now + ROUND_TAKEN_FOR)
    if Round.objects.filter(free, pk=1).update(began_at=now):
        return True
    return Round.objects.get_or_create(pk=1, defaults={"began_at": now})[1]


def enabled_rules() -> list[Rule]:
    rows = AlertRule.objects.filter(enabled=True).order_by().values_list("pk", "kind", "policy", "threshold", "window")
    return [Rule(pk, kind, policy, *_figures(kind, threshold, window)) for pk, kind, policy, threshold, window in rows]


def _figures(kind: str, threshold: float | None, window: int | None) -> tuple[float, int]:
    spec = SPECS[kind]
    return (
        threshold if threshold is not None else spec.threshold.default if spec.threshold else 0.0,
        window if window is not None else int(spec.window.default) if spec.window else 1,
    )
