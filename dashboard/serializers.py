"""What the API answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from rest_framework import serializers

from rl_training.models import PolicyStore, TrainingRun


@dataclass(frozen=True)
class Summary:
    """A policy with its last finished runs, newest first."""

    policy: PolicyStore
    runs: Sequence[TrainingRun]

    @property
    def last_run(self) -> TrainingRun | None:
        return self.runs[0] if self.runs else None

    @property
    def success_rate(self) -> float:
        """0.0 to 1.0; 0.0 before the first run has finished."""
        return self.policy.succeeded_runs / self.policy.total_runs if self.policy.total_runs else 0.0


def error_of(run: TrainingRun) -> str | None:
    return None if run.status == TrainingRun.Status.SUCCEEDED else run.error


class FigureField(serializers.FloatField):
    """A float; null where it is not finite, which JSON cannot say."""

    def to_representation(self, value: Any) -> float | None:
        return float(value) if math.isfinite(value) else None


class RecentRunSerializer(serializers.Serializer[TrainingRun]):
    timestamp = serializers.DateTimeField(source="finished_at", default_timezone=UTC)
    run_id = serializers.CharField()
    episodes = serializers.IntegerField()
    duration_seconds = FigureField()
    success = serializers.SerializerMethodField()
    avg_reward = FigureField()
    final_reward = FigureField()
    avg_policy_loss = FigureField()
    avg_value_loss = FigureField()
    error = serializers.SerializerMethodField()

    def get_success(self, run: TrainingRun) -> bool:
        return run.status == TrainingRun.Status.SUCCEEDED

    def get_error(self, run: TrainingRun) -> str | None:
        return error_of(run)


class TrainingSummarySerializer(serializers.Serializer[Summary]):
    enabled = serializers.BooleanField(source="policy.enabled")
    interval_minutes = serializers.IntegerField(source="policy.interval_minutes")
    episodes_per_run = serializers.IntegerField(source="policy.episodes_per_run")
    total_runs = serializers.IntegerField(source="policy.total_runs")
    success_rate = serializers.FloatField()
    last_run_at = serializers.DateTimeField(source="last_run.finished_at", default=None, default_timezone=UTC)
    last_error = serializers.SerializerMethodField()
    recent_runs = RecentRunSerializer(source="runs", many=True)

    def get_last_error(self, summary: Summary) -> str | None:
        return error_of(summary.last_run) if summary.last_run else None
