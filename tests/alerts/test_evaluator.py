"""Every kind of rule, from its condition to the message at a real receiver, until the alert is resolved."""

from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.alerts import state_changes
from rl_training.alerts.conditions import Holds, Rule
from rl_training.alerts.evaluator import Evaluator
from rl_training.alerts.kinds import Kind
from rl_training.alerts.models import Alert, AlertMessage, AlertRule
from rl_training.models import PolicyStore, SlotReason, TrainingEvent, TrainingRun
from rl_training.models.slots import Skipped
from rl_training.presence import heartbeats
from rl_training.runs import lifecycle
from rl_training.schedule import slots

pytestmark = pytest.mark.django_db


def test_failed_run_opens_alert_until_next_success(watched):
    watched.rule(Kind.RUN_FAILED)
    watched.finish()
    watched.opens_and_resolves(
        "rl_v3: a run failed",
        "failed: prices.csv, row 7: close is above high",
        lambda: watched.finish(status="failed", error="prices.csv, row 7: close is above high"),
        watched.finish,
    )
    watched.finish(status="failed", error="again")
    assert watched.round() == ["resolved", "open"]


def test_success_rate_below_threshold_opens_alert(watched):
    watched.rule(Kind.SUCCESS_RATE, threshold=0.7, window=5)
    for status in ("failed", "succeeded", "succeeded", "succeeded", "succeeded"):
        watched.finish(status=status)
    watched.opens_and_resolves(
        "rl_v3: too few runs succeed",
        "3 of the last 5 runs succeeded, 60%; at least 70% should.",
        lambda: [watched.finish(status="failed"), watched.finish(status="failed")],
        lambda: [watched.finish() for _ in range(4)],
    )


def test_unusual_duration_opens_alert(watched):
    watched.rule(Kind.DURATION)
    for seconds in (58, 62, 60, 59, 61, 60, 63, 57, 60, 60, 61):
        watched.finish(duration_seconds=seconds)
    watched.opens_and_resolves(
        "rl_v3: a run's duration is unusual",
        "took 120.0 s; 60.0 s is usual: the robust z-score of 9.6 is beyond 3.5.",
        lambda: watched.finish(duration_seconds=120),
        lambda: watched.finish(duration_seconds=64),
    )


def test_duration_needs_ten_earlier_runs_with_equal_episodes(watched):
    watched.rule(Kind.DURATION)
    for _ in range(9):
        watched.finish(duration_seconds=60)
    watched.finish(duration_seconds=600)
    assert watched.round() == []
    watched.finish(duration_seconds=6000, episodes=200)
    assert watched.round() == []
    watched.finish(duration_seconds=5)
    assert watched.round() == ["open"]


def test_reward_far_below_median_opens_alert(watched):
    watched.rule(Kind.REWARD, threshold=0.2, window=5)
    for reward in (0.1, 0.5, 0.6, 0.5, 0.4, 0.31):
        watched.finish(avg_reward=reward)
    watched.opens_and_resolves(
        "rl_v3: the reward fell",
        "0.29, is 0.21 under the median of the 5 runs before it, 0.5; 0.2 is allowed.",
        lambda: watched.finish(avg_reward=0.29),
        lambda: watched.finish(avg_reward=0.4),
    )


@pytest.mark.parametrize(
    ("kind", "usual", "other"),
    [(Kind.REWARD, {"avg_reward": 0.9}, {"avg_reward": 0.1}), (Kind.DURATION, {}, {"duration_seconds": 600.0})],
)
def test_reward_and_duration_are_compared_on_one_market(watched, kind, usual, other):
    watched.rule(kind, threshold=0.2 if kind == Kind.REWARD else 3.5, window=10)
    for _ in range(10):
        watched.finish(market_summary={"name": "multi.csv AAPL"}, **usual)
    watched.finish(market_summary={"name": "multi.csv MSFT"}, **other)
    assert watched.round() == []
    watched.finish(market_summary={"name": "multi.csv AAPL"}, **other)
    assert watched.round() == ["open"]


def test_no_finished_run_for_three_intervals_opens_alert(watched):
    watched.rule(Kind.OVERDUE)
    watched.policy.interval_minutes = 10
    watched.policy.save_settings()

    def pass_time() -> None:
        watched.now += timedelta(minutes=30, seconds=1)

    watched.finish()
    watched.opens_and_resolves(
        "rl_v3: no run finishes",
        "No run finished for 30 minutes; one is due every 10 minutes.",
        pass_time,
        watched.finish,
    )
    pass_time()
    assert watched.round() == ["resolved", "open"]
    PolicyStore.objects.update(enabled=False)
    assert watched.round() == ["resolved", "resolved"]


def test_overdue_message_for_interval_of_1_says_every_minute(watched):
    watched.rule(Kind.OVERDUE)
    watched.policy.interval_minutes = 1
    watched.policy.save_settings()
    watched.finish()
    watched.now += timedelta(minutes=4)
    assert watched.round() == ["open"]
    assert Alert.objects.get().message == "No run finished for 4 minutes; one is due every minute."


def test_policy_whose_slots_lack_new_bars_is_not_overdue(watched):
    watched.rule(Kind.OVERDUE)
    watched.finish()
    PolicyStore.objects.update(min_new_bars=1, next_run_at=watched.now)
    watched.now += timedelta(hours=4)
    lacking = Skipped(SlotReason.TOO_FEW_NEW_BARS, "0 new bars, 1 needed")
    slots.skip_due([PolicyStore.objects.get()], watched.now, {watched.policy.pk: lacking})
    assert watched.round() == []
    watched.now += timedelta(hours=4)
    assert watched.round() == ["open"]


@pytest.mark.parametrize(
    ("rule", "kind", "title"),
    [
        (Kind.BEAT_SILENT, "beat", "system: beat is silent"),
        (Kind.WORKERS_SILENT, "worker", "system: all workers are silent"),
    ],
)
def test_missing_heartbeats_open_alert(watched, streams, monkeypatch, rule, kind, title):
    limit = watched.rule(rule).effective_threshold
    heartbeats.record(kind)
    watched.evaluator._observing_since -= 2 * limit

    def fall_silent() -> None:
        [name] = streams.zrange(heartbeats.key(kind), 0, -1)
        streams.zincrby(heartbeats.key(kind), -limit - 1, name)

    text = f"for more than {limit:g} s: the last was {limit + 1:.0f} s ago."
    watched.opens_and_resolves(title, text, fall_silent, lambda: heartbeats.record(kind))


def test_silence_counts_from_the_start_of_observation(watched, streams):
    rule = watched.rule(Kind.BEAT_SILENT)
    assert watched.round() == []
    watched.evaluator._observing_since -= rule.effective_threshold + 1
    assert watched.round() == ["open"]
    # A second process has not observed long enough, so it leaves the alert open.
    watched.evaluator = Evaluator()
    assert watched.round() == ["open"]


def test_unpublished_events_open_alert(watched):
    watched.rule(Kind.OUTBOX_LAG)
    run = watched.finish()

    def leave_waiting() -> None:
        TrainingEvent.objects.create(
            event_type="rl_v3.training.started", run=run, payload={}, timestamp=watched.now - timedelta(seconds=61)
        )

    watched.opens_and_resolves(
        "system: events wait for Redis",
        "The oldest event waits for its Redis stream for 61 s.",
        leave_waiting,
        lambda: TrainingEvent.objects.update(published_at=timezone.now()),
    )


def test_disabling_a_rule_resolves_its_alert(watched):
    rule = watched.rule(Kind.RUN_FAILED)
    watched.finish(status="failed")
    assert watched.round() == ["open"]
    AlertRule.objects.filter(pk=rule.pk).update(enabled=False)
    assert watched.round() == ["resolved"]


def test_edited_rule_is_evaluated_again(watched):
    rule = watched.rule(Kind.SUCCESS_RATE, threshold=0.5, window=2)
    watched.finish(status="failed")
    watched.finish()
    assert watched.round() == []
    AlertRule.objects.filter(pk=rule.pk).update(threshold=0.6)
    assert watched.round() == ["open"]


def test_only_one_of_two_processes_evaluates_a_round(watched):
    watched.rule(Kind.RUN_FAILED)
    watched.finish(status="failed")
    assert watched.round() == ["open"]
    assert Evaluator().round(watched.now) is False
    assert Evaluator().round(watched.now + timedelta(seconds=10)) is True
    # The clock was an hour ahead and has been set back.
    assert Evaluator().round(watched.now - timedelta(hours=1)) is True
    assert Alert.objects.count() == 1


def test_opening_an_open_alert_again_writes_nothing(watched):
    rule = watched.rule(Kind.RUN_FAILED)
    found = [(Rule(rule.pk, rule.kind, watched.policy.pk, 0, 1), Holds("failed"))]
    assert len(state_changes.open_alerts(found)) == 1
    assert state_changes.open_alerts(found) == []
    assert AlertMessage.objects.count() == 1


def test_queries_of_a_round_do_not_grow_with_rules(watched, django_assert_num_queries):
    policies = [PolicyStore(name=f"policy_{number}") for number in range(250)]
    PolicyStore.objects.bulk_create(policies)
    AlertRule.objects.bulk_create(AlertRule(policy=policy, kind=Kind.RUN_FAILED) for policy in policies)
    watched.evaluator.round(watched.now)
    PolicyStore.objects.update(total_runs=1)
    # Eight for the round, open alerts, rules, policies, their validations (two) and comparisons, and outbox; three for
    # the runs of 250 policies.
    with django_assert_num_queries(8 + 3):
        watched.evaluator.round(watched.now + timedelta(seconds=10))
    with django_assert_num_queries(8):
        watched.evaluator.round(watched.now + timedelta(seconds=20))


def test_run_that_fails_in_lifecycle_opens_alert(watched, policy, streams):
    watched.rule(Kind.RUN_FAILED)
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)
    claimed = lifecycle.claim(run.run_id)
    assert claimed is not None
    lifecycle.fail(claimed, "no bars")
    assert watched.round() == ["open"]
    assert Alert.objects.get().run == run
    assert Alert.objects.get().message == f"Run {run.run_id} failed: no bars"
