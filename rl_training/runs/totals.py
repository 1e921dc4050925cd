"""Running totals of the runs that ended: what a monitor asks for every few seconds must not be counted from all runs.

Each ended run is in one bucket of its duration and, where it has a reward, in one bucket of that, added in the
transaction that ends it. So the totals are those of the runs, at any moment.
"""

import math
from typing import Any

from django.db import models
from django.db.models import Case, Count, F, Q, Sum, Value, When

from rl_training.models import Measure, RunTotal, TrainingRun

# Upper bounds. A bound that is taken out or added concerns the runs from then on; `count_anew` sorts the old ones too.
BOUNDS: dict[str, tuple[float, ...]] = {
    Measure.DURATION: (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400),
    Measure.REWARD: (-1, -0.5, -0.2, -0.1, -0.05, -0.02, -0.01, 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
}
COLUMNS: dict[str, str] = {Measure.DURATION: "duration_seconds", Measure.REWARD: "avg_reward"}
BEYOND = "+Inf"


def add(run: TrainingRun) -> None:
    """Count a run that ends in the present transaction. Nobody else counts one of its policy: it was the active one."""
    for measure, column in COLUMNS.items():
        value = getattr(run, column)
        if value is None or not math.isfinite(value):
            continue
        bucket = {"policy_id": run.policy_id, "status": run.status, "measure": measure, "bound": bound(measure, value)}
        if not RunTotal.objects.filter(**bucket).update(runs=F("runs") + 1, total=F("total") + value):
            RunTotal.objects.create(**bucket, runs=1, total=value)


def bound(measure: str, value: float) -> str:
    """The upper bound of the bucket that the value is in."""
    return next((f"{bound:g}" for bound in BOUNDS[measure] if value <= bound), BEYOND)


def count_anew(totals: type[models.Model], runs: type[models.Model]) -> None:
    """Replace all totals by what the runs say: a query over all of them for each measure. A migration gives its models.

    For when no run ends meanwhile.
    """
    totals._default_manager.all().delete()
    for measure, column in COLUMNS.items():
        cases = [When(**{f"{column}__lte": bound}, then=Value(f"{bound:g}")) for bound in BOUNDS[measure]]
        # What is not a number is greater than all numbers for PostgreSQL.
        finite = Q(**{f"{column}__gte": -1e300, f"{column}__lte": 1e300})
        rows: Any = runs._default_manager.filter(finite, finished_at__isnull=False).order_by()
        rows = rows.annotate(bound=Case(*cases, default=Value(BEYOND), output_field=models.CharField()))
        counted = rows.values("policy_id", "status", "bound").annotate(runs=Count("pk"), total=Sum(column))
        totals._default_manager.bulk_create((totals(measure=measure, **row) for row in counted), batch_size=1000)
