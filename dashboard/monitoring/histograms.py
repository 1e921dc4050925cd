"""Prometheus histograms of the stored run totals."""

from collections.abc import Mapping

from prometheus_client import Metric

from rl_training.models.totals import BEYOND, BOUNDS

# Maps each status and upper bound to the number of runs and the sum of their measured values.
Buckets = Mapping[str, Mapping[str, tuple[int, float]]]


def histogram(name: str, description: str, measure: str, totals: Buckets) -> Metric:
    """Return a histogram with cumulative buckets, count and sum for each status.

    It is built without prometheus_client's `HistogramMetricFamily`, which omits count and sum if a bound is negative.
    """
    family = Metric(name, description, "histogram")
    for status, buckets in sorted(totals.items()):
        stored = sorted((float(bound), runs) for bound, (runs, _) in buckets.items())
        for bound in (*BOUNDS[measure], float("inf")):
            # Runs that were stored under a bound that is no longer in BOUNDS count in the next larger bucket.
            below = sum(runs for upper, runs in stored if upper <= bound)
            label = BEYOND if bound == float("inf") else f"{bound:g}"
            family.add_sample(f"{name}_bucket", {"status": status, "le": label}, below)
        family.add_sample(f"{name}_count", {"status": status}, sum(runs for _, runs in stored))
        family.add_sample(f"{name}_sum", {"status": status}, sum(total for _, total in buckets.values()))
    return family
