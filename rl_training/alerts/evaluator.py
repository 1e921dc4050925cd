"""Evaluation of all rules in one round, which opens and resolves alerts."""

import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

import redis
from django.db.models import Q
from django.utils import timezone

from rl_training.accounts import failures
from rl_training.alerts import conditions, facts, state_changes, version_conditions, version_facts
from rl_training.alerts.conditions import Holds, Rule, State, Verdict
from rl_training.alerts.facts import MarketFacts, PolicyFacts
from rl_training.alerts.kinds import SPECS, Kind
from rl_training.alerts.live_conditions import LIVE_CONDITIONS, MARKET_CONDITIONS
from rl_training.alerts.models import Alert, AlertRule, Round
from rl_training.models import Deployment
from rl_training.presence import heartbeats
from rl_training.storage.readings import disks_now
from rl_training.versions.live import live_of

EVERY_SECONDS = 10.0
# Slightly shorter than the pause between two rounds, so that a second process finds the round claimed.
ROUND_CLAIMED_FOR = timedelta(seconds=EVERY_SECONDS - 2)
SILENT: dict[str, tuple[heartbeats.Kind, str]] = {
    Kind.BEAT_SILENT: ("beat", "a beat"),
    Kind.WORKERS_SILENT: ("worker", "a worker"),
}
# The kinds whose verdict changes only when a run finishes, with the reading of their facts and their evaluation.
JUDGES: tuple[tuple[Collection[str], Callable[..., Any], Callable[..., Verdict]], ...] = (
    (conditions.RUN_CONDITIONS, facts.last_runs, conditions.evaluate_runs),
    (version_conditions.VERSION_CONDITIONS, version_facts.last_versions, version_conditions.evaluate_versions),
)
JUDGED_AFTER_RUNS = {kind for kinds, _, _ in JUDGES for kind in kinds}


class Evaluator:
    """Evaluates all enabled rules. It remembers verdicts only to avoid reading the same runs again."""

    def __init__(self) -> None:
        # The inputs of the verdict, and the verdict, by the rule's id.
        self._known: dict[int, tuple[tuple[Any, ...], Verdict]] = {}
        self._observing_since = time.monotonic()

    def round(self, now: datetime | None = None) -> bool:
        """Open and resolve alerts; return False when another process has claimed this round.

        The number of queries depends neither on the number of rules nor on the number of runs, except for two queries
        per hundred policies that finished a run since the last round: for their runs and for their versions.
        """
        now = now or timezone.now()
        if not claim_round(now):
            return False
        # Reads the open alerts first: an alert that opens later was opened by a process that knows more recent facts.
        open_alerts = {alert.rule_id: alert for alert in Alert.objects.open().only("rule_id", "run_id", "message")}
        verdicts = self._verdicts(now)
        kept = {rule.pk for rule, found in verdicts if still_holds(found, open_alerts.get(rule.pk))}
        gone = [alert.pk for rule, alert in open_alerts.items() if rule not in kept]
        opened = [(rule, found) for rule, found in verdicts if isinstance(found, Holds) and rule.pk not in kept]
        moved = [
            (alert, found)
            for rule, found in verdicts
            if rule.pk in kept
            and isinstance(found, Holds)
            and (alert := open_alerts.get(rule.pk))
            and found.run not in (None, alert.run_id)
        ]
        if gone:
            state_changes.resolve(gone)
        if moved:
            state_changes.follow(moved)
        if opened:
            state_changes.open_alerts(opened)
        return True

    def _verdicts(self, now: datetime) -> list[tuple[Rule, Verdict]]:
        rules, policies, lag = enabled_rules(), facts.policies(), facts.outbox_lag(now)
        kinds = {rule.kind for rule in rules}
        live = live_of() if kinds & {*LIVE_CONDITIONS, *MARKET_CONDITIONS} else {}
        markets = facts.markets() if kinds & {*MARKET_CONDITIONS} else {}
        known = [(rule, policies.get(rule.policy or 0)) for rule in rules]
        self._evaluate_runs((rule, policy) for rule, policy in known if policy and rule.kind in JUDGED_AFTER_RUNS)
        return [(rule, self._verdict(rule, policy, live, markets, lag, now)) for rule, policy in known]

    def _verdict(
        self,
        rule: Rule,
        policy: PolicyFacts | None,
        live: dict[int, Deployment],
        markets: dict[int, MarketFacts],
        lag: float,
        now: datetime,
    ) -> Verdict:
        if rule.kind == Kind.OUTBOX_LAG:
            return conditions.outbox_lag(rule, lag)
        if rule.kind == Kind.DISK_FULL:
            return conditions.disk_full(rule, disks_now(now), now)
        if rule.kind in SILENT:
            return self._silence(rule)
        if rule.kind == Kind.FAILED_LOGINS:
            return judge_failed_logins(rule)
        if policy is None:  # The policy was created after the policies were read.
            return State.UNKNOWN
        if rule.kind in LIVE_CONDITIONS:
            return LIVE_CONDITIONS[rule.kind](rule, policy, live.get(policy.pk), now)
        if rule.kind in MARKET_CONDITIONS:
            return MARKET_CONDITIONS[rule.kind](rule, markets.get(policy.pk), live.get(policy.pk), now)
        return conditions.overdue(rule, policy, now) if rule.kind == Kind.OVERDUE else self._known[rule.pk][1]

    def _evaluate_runs(self, rules: Iterable[tuple[Rule, PolicyFacts]]) -> None:
        """Fill `_known` with the verdict of each rule about runs and versions.

        A rule without new inputs keeps its last verdict.
        """
        known, self._known = self._known, {}
        new: dict[int, list[tuple[Rule, tuple[Any, ...]]]] = {}
        for rule, policy in rules:
            inputs = (policy.total_runs, rule.threshold, rule.window)
            if rule.pk in known and known[rule.pk][0] == inputs:
                self._known[rule.pk] = known[rule.pk]
            else:
                new.setdefault(policy.pk, []).append((rule, inputs))
        # Twice the window, because some conditions count only successful runs or versions of one market, and half of
        # them may be others; one more, because the last one is compared with those before it.
        for kinds, read, evaluate in JUDGES:
            judged = {pk: [rule for rule in found if rule[0].kind in kinds] for pk, found in new.items()}
            number = 2 * max((rule.window for found in judged.values() for rule, _ in found), default=0) + 1
            for pk, rows in read(sorted(pk for pk, found in judged.items() if found), number):
                for rule, inputs in judged[pk]:
                    self._known[rule.pk] = inputs, evaluate(rule, rows)

    def _silence(self, rule: Rule) -> Verdict:
        """Evaluate a rule about heartbeats. Time without Redis does not count as silence."""
        kind, process = SILENT[rule.kind]
        try:
            age = min(heartbeats.ages(kind).values(), default=None)
        except redis.RedisError:
            self._observing_since = time.monotonic()
            return State.UNKNOWN
        return conditions.silent(rule, process, age, time.monotonic() - self._observing_since)


def still_holds(found: Verdict, alert: Alert | None) -> bool:
    """Return whether the alert stays open: its condition may still hold, and no other message renews it."""
    if alert is None or found is State.GONE:
        return False
    return not (isinstance(found, Holds) and found.renews and found.message != alert.message)


def judge_failed_logins(rule: Rule) -> Verdict:
    """Evaluate a rule about failed logins, which Redis counts."""
    try:
        return conditions.failed_logins(rule, failures.count(rule.window))
    except redis.RedisError:
        return State.UNKNOWN


def claim_round(now: datetime) -> bool:
    """Claim the right to evaluate the rules now; return False when another process claimed it in the last seconds.

    A claim that lies in the future, because the clock was set back since, does not count.
    """
    free = Q(began_at__lte=now - ROUND_CLAIMED_FOR) | Q(began_at__gt=now + ROUND_CLAIMED_FOR)
    if Round.objects.filter(free, pk=1).update(began_at=now):
        return True
    return Round.objects.get_or_create(pk=1, defaults={"began_at": now})[1]


def enabled_rules() -> list[Rule]:
    rows = AlertRule.objects.filter(enabled=True).order_by().values_list("pk", "kind", "policy", "threshold", "window")
    return [
        Rule(pk, kind, policy, SPECS[kind].effective_threshold(threshold), SPECS[kind].effective_window(window))
        for pk, kind, policy, threshold, window in rows
    ]
