"""The running totals of the runs as Prometheus histograms."""

from collections.abc import Mapping

from prometheus_client import Metric

from rl_training.runs.totals import BEYOND, BOUNDS

# By status and bound: how many runs, and the sum of their measures.
Buckets = Mapping[str, Mapping[str, tuple[int, float]]]


def histogram(name: str, meaning: str, measure: str, found: Buckets) -> Metric:
    """Cumulative buckets with their count and sum, for each status.

    Not by prometheus_client's own class, which leaves out count and sum where a bound is negative.
    """
    family = Metric(name, meaning, "histogram")
    for status, buckets in sorted(found.items()):
        stored = sorted((float(bound), runs) for bound, (runs, _) in buckets.items())
        for bound in (*BOUNDS[measure], float("inf")):
            # A stored bound that is not one of today's counts from the next one on.
            below = sum(runs for upper, runs in stored if upper <= bound)
            label = BEYOND if bound == float("inf") else f"{bound:g}"
            family.add_sample(f"{name}_bucket", {"status": status, "le": label}, below)
        family.add_sample(f"{name}_count", {"status": status}, sum(runs for _, runs in stored))
        family.add_sample(f"{name}_sum", {"status": status}, sum(total for _, total in buckets.values()))
    return family
