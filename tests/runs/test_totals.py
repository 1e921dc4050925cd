"""The running totals say what the runs say."""

import pytest

from rl_training.models import RunTotal, TrainingRun
from rl_training.runs import lifecycle, totals
from rl_training.runs.lifecycle import Outcome

pytestmark = pytest.mark.django_db

VERSION = {"artifact": "a", "sha256": "0" * 64, "evaluation": {}}


def started(policy):
    return lifecycle.claim(lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False).run_id)


def stored() -> list[tuple[str, str, str, int]]:
    return sorted(RunTotal.objects.values_list("status", "measure", "bound", "runs"))


def test_each_ended_run_is_counted_once_and_as_a_recount_counts_it(policy, streams):
    for reward in (0.03, 0.05, -7.0, 2.0):
        run = started(policy)
        assert lifecycle.succeed(run, Outcome({"avg_reward": reward}, VERSION | {"artifact": run.run_id}))
        assert lifecycle.succeed(run, Outcome({"avg_reward": reward}, VERSION)) is None
    assert lifecycle.fail(started(policy), "no bars")
    assert lifecycle.cancel(lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False))
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


def test_what_is_no_number_is_in_no_bucket(policy):
    totals.add(TrainingRun(policy=policy, status="succeeded", duration_seconds=60.0, avg_reward=float("nan")))
    assert stored() == [("succeeded", "duration", "60", 1)]
