import pytest

from rl_training.models import Measure, RunTotal, TrainingRun, totals
from rl_training.runs import lifecycle
from rl_training.runs.lifecycle import Outcome
from tests.active_runs import claimed_run, queued_run

pytestmark = pytest.mark.django_db

VERSION = {"artifact": "a", "sha256": "0" * 64, "evaluation": {}}


def stored() -> list[tuple[str, str, str, int]]:
    return sorted(RunTotal.objects.values_list("status", "measure", "bound", "runs"))


def test_totals_count_each_ended_run_once_and_match_a_recount(policy, streams):
    for reward in (0.03, 0.05, -7.0, 2.0):
        run = claimed_run(policy)
        assert lifecycle.succeed(run, Outcome({"avg_reward": reward}, VERSION | {"artifact": run.run_id}))
        assert lifecycle.succeed(run, Outcome({"avg_reward": reward}, VERSION)) is None
    assert lifecycle.fail(claimed_run(policy), "no bars")
    assert lifecycle.cancel(queued_run(policy))
    expected = [
        ("cancelled", "duration", "1", 1),
        ("failed", "duration", "1", 1),
        ("succeeded", "duration", "1", 4),
        ("succeeded", "reward", "+Inf", 1),
        ("succeeded", "reward", "-1", 1),
        ("succeeded", "reward", "0.05", 2),
    ]
    assert stored() == expected
    sums = dict(RunTotal.objects.filter(measure="reward").values_list("bound", "total"))
    assert sums == pytest.approx({"+Inf": 2.0, "-1": -7.0, "0.05": 0.08})
    totals.count_anew(RunTotal, TrainingRun)
    assert stored() == expected
    assert dict(RunTotal.objects.filter(measure="reward").values_list("bound", "total")) == pytest.approx(sums)


def test_nan_is_counted_in_no_bucket(policy):
    totals.add(policy.pk, "succeeded", {Measure.DURATION: 60.0, Measure.REWARD: float("nan")})
    assert stored() == [("succeeded", "duration", "60", 1)]
