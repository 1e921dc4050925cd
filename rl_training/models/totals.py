"""Running totals of the ended runs, because requests of monitors every few seconds must not count all runs.

Each ended run is counted in one bucket of its duration and, if it has a reward, in one bucket of its reward. The
transaction that ends the run counts it, so the totals match the runs at any time.
"""

import math
from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import Case, Count, F, Q, Sum, Value, When


class Measure(models.TextChoices):
    """A quantity of a run whose distribution is counted in buckets."""

    DURATION = "duration"
    REWARD = "reward"


# Upper bounds of the buckets. A changed list applies to later runs; `count_anew` counts all runs again.
BOUNDS: dict[str, tuple[float, ...]] = {
    Measure.DURATION: (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400),
    Measure.REWARD: (-1, -0.5, -0.2, -0.1, -0.05, -0.02, -0.01, 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
}
COLUMNS: dict[str, str] = {Measure.DURATION: "duration_seconds", Measure.REWARD: "avg_reward"}
BEYOND = "+Inf"


class RunTotal(models.Model):
    """The number of ended runs of one policy and status whose measure lies in one bucket, and the measure's sum."""

    policy = models.ForeignKey("rl_training.PolicyStore", on_delete=models.CASCADE, related_name="totals")
    status = models.CharField(max_length=10)
    measure = models.CharField(max_length=10, choices=Measure)
    bound = models.CharField(max_length=10, help_text="The bucket's upper bound, as Prometheus writes it.")
    runs = models.PositiveBigIntegerField(default=0)
    total = models.FloatField(default=0.0, help_text="The sum of the measures.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["policy", "status", "measure", "bound"], name="total_once_per_bucket"),
        )

    def __str__(self) -> str:
        return f"{self.policy_id} {self.status} {self.measure} {self.bound}"


def add(policy_id: int, status: str, measures: Mapping[Measure, float | None]) -> None:
    """Count a run that ends in the current transaction; unknown and infinite measures are left out.

    No other transaction counts a run of the same policy meanwhile, because a policy has one active run at most.
    """
    for measure, value in measures.items():
        if value is None or not math.isfinite(value):
            continue
        bucket = {"policy_id": policy_id, "status": status, "measure": measure, "bound": bound(measure, value)}
        if not RunTotal.objects.filter(**bucket).update(runs=F("runs") + 1, total=F("total") + value):
            RunTotal.objects.create(**bucket, runs=1, total=value)


def bound(measure: str, value: float) -> str:
    """Return the upper bound of the value's bucket, as Prometheus writes it."""
    return next((f"{bound:g}" for bound in BOUNDS[measure] if value <= bound), BEYOND)


def count_anew(totals: type[models.Model], runs: type[models.Model]) -> None:
    """Replace all totals by counts of all stored runs, with one query for each measure. No run may end meanwhile.

    The models are arguments because a migration passes its historical ones.
    """
    totals._default_manager.all().delete()
    for measure, column in COLUMNS.items():
        cases = [When(**{f"{column}__lte": bound}, then=Value(f"{bound:g}")) for bound in BOUNDS[measure]]
        # PostgreSQL orders NaN above all numbers, so the upper limit excludes NaN too.
        finite = Q(**{f"{column}__gte": -1e300, f"{column}__lte": 1e300})
        rows: Any = runs._default_manager.filter(finite, finished_at__isnull=False).order_by()
        rows = rows.annotate(bound=Case(*cases, default=Value(BEYOND), output_field=models.CharField()))
        counted = rows.values("policy_id", "status", "bound").annotate(runs=Count("pk"), total=Sum(column))
        totals._default_manager.bulk_create((totals(measure=measure, **row) for row in counted), batch_size=1000)
