"""A policy whose runs and versions are stored one by one, while the rules about them are evaluated."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from rl_training.alerts import delivery
from rl_training.alerts.evaluator import Evaluator
from rl_training.alerts.kinds import SPECS
from rl_training.alerts.models import Alert, AlertChannel, AlertRule, Round
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun
from tests.receiver import Receiver


class Watched:
    """A policy with one rule, and a channel that receives its alerts."""

    def __init__(self, receiver: Receiver, policy: PolicyStore) -> None:
        self.receiver, self.policy, self.evaluator = receiver, policy, Evaluator()
        self.now = timezone.now()
        self.channel = AlertChannel(name="receiver")
        self.channel.address = receiver.address()
        self.channel.save()
        AlertRule.objects.all().delete()

    def rule(self, kind: str, **figures: float) -> AlertRule:
        policy = self.policy if SPECS[kind].of_policy else None
        return AlertRule.objects.create(kind=kind, policy=policy, **figures)

    def round(self) -> list[str]:
        """Evaluate the rules, deliver the messages, and return the states of all alerts, oldest first."""
        Round.objects.all().delete()
        assert self.evaluator.round(self.now)
        for channel in AlertChannel.objects.values_list("pk", flat=True):
            delivery.deliver(channel)
        return [alert.state for alert in Alert.objects.order_by("pk")]

    def finish(self, **columns: object) -> TrainingRun:
        """Store a finished run that ended a minute after the run before it."""
        self.now += timedelta(minutes=1)
        defaults = {"status": "succeeded", "duration_seconds": 60.0, "avg_reward": 0.5, "episodes": 2, "config": {}}
        run = TrainingRun.objects.create(
            policy=self.policy, trigger="schedule", finished_at=self.now, **defaults | columns
        )
        PolicyStore.objects.filter(pk=self.policy.pk).update(total_runs=self.policy.runs.count())
        return run

    def opens_and_resolves(self, title: str, text: str, make_true, make_false) -> None:
        assert self.round() == []
        make_true()
        assert self.round() == ["open"]
        assert self.round() == ["open"]
        assert self.receiver.titles == [title]
        assert text in self.receiver.messages[0]["message"]
        make_false()
        assert self.round() == ["resolved"]
        assert self.round() == ["resolved"]
        assert self.receiver.titles == [title, f"Resolved: {title}"]

    def make_version(
        self,
        total_return: float,
        holding_return: float = -1.0,
        *,
        market: str = "sp500",
        evaluation: dict[str, Any] | None = None,
        **columns: object,
    ) -> PolicyVersion:
        """Store a finished run with a version whose evaluation has these returns, other results as in `evaluation`."""
        environment = {"positions": [-1.0, 0.0, 0.5, 1.0], "fee": 0.0005, "slippage": 0.0001, "episode_length": 512}
        config = {"market": {"train_fraction": 0.8}, "environment": environment}
        results = {"total_return": total_return, "turnover": 3.0, "time_in_market": 0.5, "bars": 896}
        references = {"buy_and_hold": {"total_return": holding_return}, "flat": {"total_return": 0.0}}
        return PolicyVersion.objects.create(
            policy=self.policy,
            number=self.policy.versions.count() + 1,
            run=self.finish(config=config, market_summary={"name": market}, **columns),
            artifact="",
            sha256="",
            evaluation=results | references | (evaluation or {}),
        )
