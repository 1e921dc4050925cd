"""Runs, replays, walk-forwards and comparisons of policies that observe further columns of their market's file."""

import numpy as np
import pytest

from rl_training.core.deciding.decision import NEW_ACCOUNT, choose, next_state
from rl_training.core.market.bars import MarketDataError
from rl_training.core.trading.observation import Observer
from rl_training.decisions.networks import network_of
from rl_training.files import bars
from rl_training.models import Comparison, PolicyVersion, TrainingRun, Validation
from rl_training.runs import lifecycle
from rl_training.tasks import train_policy
from rl_training.validation.changed_bars import changed_bars
from rl_training.versions import comparisons
from rl_training.versions.replay import replay
from rl_training.worker import comparing
from tests.active_runs import claim_comparison
from tests.own_columns import FORMATS, OWN_SIGNALS, market_file, observe
from tests.validations import compute, request_validation, trial_number

# Each test commits, as a worker does.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not FORMATS.exists(), reason="the shared market data is not beside the checkout"),
]


@pytest.fixture
def own_signals(small_policy, streams, artifact_root, settings):
    """A policy that observes both further columns of the sample."""
    settings.MARKET_DATA_ROOT = FORMATS
    observe(small_policy, OWN_SIGNALS, "funding", "sentiment")
    return small_policy


def finished(policy) -> TrainingRun:
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    train_policy(run.run_id)
    run = TrainingRun.objects.select_related("policy", "started_from").get(pk=run.pk)
    assert (run.status, run.error) == ("succeeded", "")
    return run


def decided(version: PolicyVersion, market) -> list[float]:
    """Return the equities of an account that decides on the held-out bars, bar by bar."""
    network, state = network_of(version), NEW_ACCOUNT
    equities = [state.equity]
    for bar in range(len(market) - 1):
        choice = choose(network, market[bar : bar + 1], state)
        state = next_state(state, choice.target, market[bar + 1 : bar + 2], network.environment)
        equities.append(state.equity)
    return equities


def test_run_on_the_sample_makes_a_version_that_decides_as_evaluated(own_signals):
    run = finished(own_signals)
    market = bars.fetch(run.bars_digest)
    assert list(market.own) == ["funding", "sentiment"]
    version = PolicyVersion.objects.get(run=run)
    assert decided(version, market[48:]) == version.evaluation["equity_curve"]
    network = network_of(version)
    assert network.statistics.names == ("range", "column:funding", "column:sentiment")
    observed = Observer(market, network.environment, network.statistics).rows[:, 2]
    sentiment, training = market.own["sentiment"], market.own["sentiment"][:48]
    expected = ((sentiment - training.mean()) / training.std()).clip(-5, 5).astype(np.float32)
    np.testing.assert_array_equal(observed, expected)


def test_replay_of_the_run_is_equal_from_stored_bars_and_from_the_file(own_signals, artifact_root):
    run = finished(own_signals)
    assert replay(run).equal
    (artifact_root / "market-bars" / f"{run.bars_digest}.npz").unlink()
    found = replay(run)
    assert (found.equal, [note.text for note in found.notes]) == (
        True,
        [f"the bars {run.bars_digest} are not stored; the source gives the same"],
    )


def test_walk_forward_on_the_sample_stays_in_the_ledger_of_the_market(own_signals):
    observe(own_signals, OWN_SIGNALS)
    first = compute(request_validation(own_signals, folds=1))
    observe(own_signals, OWN_SIGNALS, "sentiment")
    second = compute(request_validation(own_signals, folds=1))
    assert (first.status, second.status, second.error) == ("succeeded", "succeeded", "")
    assert (trial_number(first), trial_number(second)) == (1, 2)
    assert first.bars_digest != second.bars_digest
    assert list(bars.fetch(second.bars_digest).own) == ["sentiment"]


def test_walk_forward_on_a_copy_of_the_file_with_another_column_is_refused(own_signals, settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes((FORMATS / OWN_SIGNALS).read_bytes())
    observe(own_signals, "a.csv", "sentiment")
    assert compute(request_validation(own_signals, folds=1)).status == "succeeded"
    for columns in (("funding",), ()):
        observe(own_signals, "b.csv", *columns)
        found = compute(request_validation(own_signals, folds=1))
        assert found.status == "failed"
        assert found.error.startswith("walk-forward: recipes were tried on the same bars as market a.csv")


def test_column_that_was_computed_anew_counts_as_changed_bars(artifact_root, tmp_path):
    market = market_file(tmp_path / "m.csv")
    bars.store(market)
    validation = Validation(bars_digest=market.digest)
    again = {name: values * (1 + 1e-12) for name, values in market.own.items()}
    assert changed_bars(validation, market.with_own(again)) == ""
    again["signal"] = np.where(np.arange(400) % 10, market.own["signal"], 0.0)
    expected = "39 of the 400 bars that the recipe was validated on have changed"
    assert changed_bars(validation, market.with_own(again)) == expected


def test_versions_with_different_columns_are_compared_on_the_same_bars(own_signals, settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path
    market_file(tmp_path / "m.csv")
    versions = []
    for columns in (("funding",), ("signal", "funding"), ()):
        observe(own_signals, "m.csv", *columns)
        versions.append(PolicyVersion.objects.get(run=finished(own_signals)))
    comparison = comparisons.request(versions, send_message=False)
    comparing.execute(claim_comparison(comparison), lambda: False)
    found = Comparison.objects.get(pk=comparison.pk)
    assert (found.status, found.error, found.bars) == ("succeeded", "", 79)
    assert found.result is not None
    curves = [account["equity_curve"] for account in found.result["accounts"][:3]]
    evaluated = [version.evaluation["equity_curve"] for version in versions]
    assert [curve[-1] for curve in curves] == pytest.approx([curve[-1] for curve in evaluated], rel=1e-5)


def test_run_without_its_column_fails_with_the_columns_that_there_are(own_signals):
    observe(own_signals, OWN_SIGNALS, "gone")
    run = lifecycle.enqueue(own_signals, TrainingRun.Trigger.COMMAND)
    with pytest.raises(MarketDataError):
        train_policy(run.run_id)
    run.refresh_from_db()
    assert (run.status, run.error) == (
        "failed",
        "own_signals.csv: column:gone can be no feature: no column is named 'gone'; columns that can be features: "
        "column:funding, column:sentiment",
    )


def test_policy_continues_from_a_version_with_the_same_columns_alone(own_signals):
    first = finished(own_signals)
    started_from = finished(own_signals).started_from
    assert started_from is not None
    assert started_from.run == first
    observe(own_signals, OWN_SIGNALS, "funding")
    assert finished(own_signals).started_from is None
