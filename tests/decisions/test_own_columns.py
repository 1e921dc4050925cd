"""Decisions of policies that observe further columns of a file that grows."""

from datetime import timedelta

import numpy as np
import pytest
from django.core.management import call_command

from rl_training.core.evaluation.backtest import run_backtest
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.observation import Observer
from rl_training.decisions.challengers import ArmRefusedError, open_arm
from rl_training.decisions.markets import identity
from rl_training.files import artifacts
from rl_training.models import Arm, FollowedMarket, PolicyStore, PolicyVersion
from tests.decisions.growing import BARS, HISTORY, Growing, assert_replays, decisions, live_arm, set_up
from tests.own_columns import market_file, observe, with_columns
from tests.stored import deploy
from tests.weights import stored_version

pytestmark = pytest.mark.django_db
MARKET = with_columns(BARS, "funding", "signal")


@pytest.fixture
def growing(market_root, policy):
    """The file of both columns; the policy observes `signal`."""
    set_up(policy)
    observe(policy, "growing.csv", "signal")
    return Growing(market_root, market=MARKET)


def version(policy: PolicyStore, number: int, *columns: str) -> PolicyVersion:
    features = ["range", *(f"column:{name}" for name in columns)]
    return stored_version(policy, number, 99, features=features, bars=MARKET)


@pytest.fixture
def live(policy, growing, artifact_root):
    """A live version that observes `signal`."""
    made = version(policy, 1, "signal")
    deploy(made, at=growing.now - timedelta(days=1))
    growing.round()
    return made


def assert_equals_backtest(policy: PolicyStore, growing: Growing, made: PolicyVersion) -> None:
    """Fail unless the live arm's equities and observations are those of a backtest of the version."""
    found, saved = decisions(live_arm(policy)), artifacts.load(made.artifact)
    market = growing.market[growing.shown - len(found) : growing.shown]
    observer = Observer(market, saved.environment, saved.statistics)
    backtest = run_backtest(saved.policy, market, saved.environment, observer)
    assert [row.equity for row in found] == backtest.equity[:, 0].tolist()
    observed = np.array([np.frombuffer(bytes(row.observation), "<f4")[: observer.width] for row in found])
    assert observed.tobytes() == observer.rows[:, : observer.width].tobytes()


def test_decisions_are_those_of_a_backtest_and_of_the_replay(policy, growing, live):
    growing.grow(20)
    found = decisions(live_arm(policy))
    assert (len(found), {row.version for row in found}) == (21, {live})
    assert len({row.target_position for row in found}) > 1
    assert_equals_backtest(policy, growing, live)
    assert_replays(policy)
    market = FollowedMarket.objects.get()
    assert (market.columns, market.label) == (["signal"], "growing.csv with column:signal")
    stored = [bytes(row.own or b"") for row in market.bars.order_by("-opened_at")[:21]][::-1]
    assert stored == [value.tobytes() for value in MARKET.own["signal"][HISTORY - 1 : HISTORY + 20].astype("<f8")]


def test_policies_with_other_columns_follow_bars_of_their_own(policy, growing, live):
    other = PolicyStore.objects.create(name="other")
    observe(other, "growing.csv", "funding", "signal")
    plain = PolicyStore.objects.create(name="plain")
    observe(plain, "growing.csv")
    for one, columns in ((other, ("signal", "funding")), (plain, ())):
        deploy(version(one, 1, *columns), at=growing.now - timedelta(days=1))
    growing.grow(6)
    for one in (policy, other, plain):
        assert len({row.bar_opened_at for row in decisions(live_arm(one))}) >= 6
        assert {arm.error for arm in Arm.objects.filter(policy=one)} == {""}
        assert_replays(one)
    followed = sorted(market.columns for market in FollowedMarket.objects.all())
    assert followed == [[], ["funding", "signal"], ["signal"]]


def test_identity_of_market_without_columns_is_that_of_earlier_releases():
    market = MarketConfig(source="file", path="growing.csv")
    assert identity(market) == "d76231cf9974f897c2044f6117fc80fba10a019f117c760eb8caac48e126eb88"
    assert identity(market, ("b", "a")) == identity(market, ("a", "b")) != identity(market, ("a",))


def test_bar_without_value_waits_and_is_named(policy, growing, live):
    plain = PolicyStore.objects.create(name="plain")
    observe(plain, "growing.csv")
    deploy(version(plain, 1), at=growing.now - timedelta(days=1))
    growing.grow()
    complete = growing.file.read_text()
    before = len(decisions(live_arm(policy)))
    growing.append()
    growing.file.write_text(growing.file.read_text().rpartition(",")[0] + ",\n")
    growing.round()
    assert len(decisions(live_arm(policy))) == before
    assert len(decisions(live_arm(plain))) == 2
    market = FollowedMarket.objects.get(columns=["signal"])
    assert market.error.startswith(f"growing.csv, row {growing.shown} (header not counted): column:signal is empty; ")
    growing.file.write_text(complete + growing.line(growing.shown - 1))
    growing.round()
    assert len(decisions(live_arm(policy))) == before + 1
    assert_equals_backtest(policy, growing, live)


def test_row_without_value_is_no_bar_if_bad_rows_are_dropped(policy, growing, live):
    policy.market = policy.market.model_copy(update={"bad_rows": "drop"})
    policy.save_settings()
    growing.grow()
    with growing.file.open("a") as file:
        file.write(growing.line(growing.shown).rpartition(",")[0] + ",\n")
    growing.skip()
    growing.grow(2)
    found = decisions(live_arm(policy))
    opened = [row.bar_opened_at for row in found]
    assert (opened[-1] - opened[-2], opened[-2] - opened[-3]) == (timedelta(hours=1), timedelta(hours=2))
    assert_replays(policy)


def test_live_version_goes_on_while_the_policy_learns_with_another_column(policy, growing, live, change):
    growing.grow(2)
    observe(policy, "growing.csv", "funding")
    growing.grow(2)
    arm = live_arm(policy)
    assert (arm.market.columns, arm.error) == (["funding", "signal"], "")
    assert {row.version for row in decisions(arm)} == {live}
    assert arm.opening == (
        "The policy's market changed from growing.csv with column:signal to growing.csv with column:funding, "
        "column:signal."
    )
    newer = version(policy, 2, "funding")
    change("promote", newer)
    growing.grow(2)
    arm = live_arm(policy)
    assert (arm.market.columns, arm.error, {row.version for row in decisions(arm)}) == (["funding"], "", {newer})
    change("roll_back")
    growing.grow(2)
    assert (live_arm(policy).error, decisions(live_arm(policy))[-1].version) == ("", live)
    assert_replays(policy)


def test_challenger_that_observes_more_columns_is_refused(policy, growing, live):
    version(policy, 2)
    arm = open_arm(policy, "rl_v3:2", by="admin", now=growing.now)[0]
    growing.grow(3)
    arm.refresh_from_db()
    assert (len(decisions(arm)), arm.error) == (3, "")
    assert_replays(policy)
    version(policy, 3, "funding")
    with pytest.raises(ArmRefusedError, match="rl_v3 version 3 observes column:funding, which neither the"):
        open_arm(policy, "rl_v3:3", by="admin", now=growing.now)
    other = PolicyStore.objects.create(name="other")
    observe(other, "growing.csv", "funding")
    with pytest.raises(ArmRefusedError, match="other observes column:funding"):
        open_arm(policy, "newest:other", by="admin", now=growing.now)


def test_replayed_market_keeps_its_further_columns(settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path
    market = market_file(tmp_path / "m.csv", bars=60)
    call_command("market_replay", "m.csv", "--to", "new.csv", "--history", "50", "--bars", "0", "--speed", "3600")
    found = load_file(MarketConfig(source="file", path="new.csv"), tmp_path, ("funding", "signal"))
    for name in ("funding", "signal"):
        np.testing.assert_array_equal(found.own[name], market.own[name][:50])
