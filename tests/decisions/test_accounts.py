"""The paper account of a policy always equals its replay, and the backtest of the versions that were live."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db.models import QuerySet

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.backtest import run_backtest
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.observation import Observer
from rl_training.decisions.replay import replay
from rl_training.files import artifacts
from rl_training.models import Arm, Decision, PolicyStore
from tests.decisions.growing import COSTS, HISTORY, Growing, assert_replays, decisions, live_arm, set_up
from tests.stored import deploy

pytestmark = pytest.mark.django_db


class Switching:
    """A policy that decides at each bar as the version that was live then; None: flat."""

    def __init__(self, live):
        self.live = iter(live)

    def predict(self, observations, deterministic=True):
        saved = next(self.live)
        return np.array([1]) if saved is None else saved.predict(observations, deterministic)


def assert_equals_backtest(policy, growing):
    """Fail unless the live arm's equities are those of a backtest that follows the versions of its decisions."""
    found = decisions(live_arm(policy))
    loaded: dict[Any, Any] = {None: None}
    for row in found:
        if row.version and row.version.number not in loaded:
            loaded[row.version.number] = artifacts.load(row.version.artifact)
    saved = [loaded[row.version.number if row.version else None] for row in found]
    costs = EnvironmentConfig.model_validate(COSTS)
    first = growing.shown - len(found)
    market = growing.market[first - 1 : growing.shown]
    statistics = next(one.statistics for one in saved if one)
    assert all(one is None or one.statistics == statistics for one in saved)
    backtest = run_backtest(Switching(saved), market, costs, Observer(market, costs, statistics))
    assert [row.equity for row in found] == backtest.equity[:, 0].tolist()


def test_account_of_a_version_equals_its_backtest(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.grow(12)
    assert len({row.target_position for row in decisions(live_arm(policy))}) > 1
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_references_hold_and_stay_flat(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.grow(3)
    held, flat = (decisions(Arm.objects.get(kind=kind)) for kind in ("buy_and_hold", "flat"))
    bars = growing.market[HISTORY : HISTORY + 3]
    cost = 0.0006 + 0.0005 * 0.0001
    units = (1 - cost / (1 + cost)) / bars.open[0]
    assert [row.equity for row in held[1:]] == pytest.approx((units * bars.close).tolist(), rel=1e-9)
    assert [row.equity for row in flat] == [1.0] * 4
    assert {row.probabilities for row in [*held, *flat]} == {None}


def test_version_switch_and_rollback_change_the_next_decision(policy, growing, versions, change):
    change("promote", versions[0])
    growing.round()
    growing.grow(3)
    change("promote", versions[1], reason="It is newer.")
    growing.grow(3)
    change("roll_back", reason="It loses.")
    growing.grow(2)
    found = decisions(live_arm(policy))
    assert [row.version and row.version.number for row in found] == [1, 1, 1, 1, 2, 2, 2, 1, 1]
    assert found[4].note == "Version 2 is live, promoted by admin: It is newer."
    assert found[7].note == "Version 1 is live, brought back by admin: It loses."
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_going_flat_closes_the_position_at_the_next_open(policy, growing, versions, change):
    change("promote", versions[0])
    growing.round()
    growing.grow(4)
    change("go_flat", reason="The exchange is unsafe.")
    growing.grow(3)
    found = decisions(live_arm(policy))
    assert found[-3].note == "Nothing is live: flat, taken flat by admin: The exchange is unsafe."
    assert [(row.target_position, row.version) for row in found[-3:]] == [(0.0, None)] * 3
    assert found[-2].units == found[-1].units == 0.0
    assert found[-2].equity == found[-1].equity
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_disabled_policy_keeps_deciding_and_its_rows_note_it(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    policy.enabled = False
    policy.save_settings("enabled")
    growing.grow(2)
    policy.enabled = True
    policy.save_settings("enabled")
    growing.grow()
    assert [row.note for row in decisions(live_arm(policy))[1:]] == [
        "The policy is disabled: it is not trained.",
        "",
        "The policy is enabled again.",
    ]
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_changed_market_ends_the_account_and_opens_another(policy, growing, versions, market_root):
    deploy(versions[0])
    growing.round()
    growing.grow(3)
    other = Growing(market_root, "other.csv")
    set_up(policy, "other.csv")
    other.round()
    other.grow(2)
    ended = Arm.objects.get(policy=policy, kind="live", ended_at__isnull=False)
    reason = "The policy's market changed from growing.csv to other.csv."
    assert (ended.decisions.count(), ended.ending) == (4, reason)
    opened = decisions(live_arm(policy))[0]
    assert opened.note.startswith(f"The account opens. {reason} Version 1 is live")
    assert (opened.equity, opened.units) == (1.0, 0.0)
    assert growing.round() == 0
    assert_replays(policy)


def test_changed_costs_open_another_account(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    policy.environment = EnvironmentConfig.model_validate(COSTS | {"fee": 0.002})
    policy.save_settings("environment")
    growing.grow()
    assert decisions(live_arm(policy))[0].note.startswith("The account opens. The policy's fee changed.")
    assert_replays(policy)


def test_market_that_cannot_grow_ends_the_account(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    policy.market = MarketConfig()
    policy.save_settings("market")
    growing.grow()
    assert not Arm.objects.filter(ended_at=None).exists()
    assert {arm.ending for arm in Arm.objects.all()} == {"The policy no longer follows the market growing.csv."}


def test_late_bar_is_not_decided_and_the_next_row_names_it(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.skip()
    growing.grow()
    # The skipped bar arrives after the bar that follows it.
    lines = growing.file.read_text().splitlines(keepends=True)[1:]
    growing.rewrite([*lines[:-1], growing.line(growing.shown - 2), lines[-1]])
    growing.grow()
    notes = [row.note for row in decisions(live_arm(policy))]
    assert notes[1:] == ["1 bar is missing before this one.", "1 earlier bar came late."]
    assert_replays(policy)


def test_revised_bar_is_seen_by_later_decisions_and_changes_no_row(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.grow(2)
    before = list(Decision.objects.order_by("pk").values())
    lines = growing.file.read_text().splitlines(keepends=True)[1:]
    close = growing.market.close[growing.shown - 1]
    growing.rewrite([*lines[:-1], growing.line(growing.shown - 1, close=close * 1.01, high=close * 1.2)])
    assert growing.round() == 0
    growing.grow(2)
    assert list(Decision.objects.order_by("pk").values())[: len(before)] == before
    found = decisions(live_arm(policy))
    assert found[-2].note == "1 earlier bar changed at the source."
    assert found[-1].note == ""
    assert_replays(policy)


def test_next_row_names_a_bar_that_disappeared(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.grow()
    lines = growing.file.read_text().splitlines(keepends=True)[1:]
    growing.rewrite([*lines[:-2], lines[-1]])
    growing.grow()
    assert decisions(live_arm(policy))[-1].note == "1 earlier bar disappeared from the source."
    assert_replays(policy)


def test_missing_bars_are_named_and_never_made_up(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.grow()
    growing.skip(3)
    growing.grow(2)
    found = decisions(live_arm(policy))
    assert [row.note for row in found[1:]] == ["", "3 bars are missing before this one.", ""]
    assert_replays(policy)


def test_two_bars_at_once_are_decided_in_their_order(policy, growing, versions):
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()
    growing.append(2)
    assert growing.round() == 6
    found = decisions(live_arm(policy))
    assert [row.note for row in found[1:]] == [
        "Decided 3,600 s after the close of the bar, by what was live at its close.",
        "",
    ]
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_late_decision_is_that_of_the_version_live_at_the_close(policy, growing, versions):
    first = deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()
    growing.append(3)
    deploy(versions[1], at=growing.now)
    growing.round(minutes=1)
    found = decisions(live_arm(policy))
    assert [row.version and row.version.number for row in found] == [1, 1, 1, 2]
    assert found[2].deployment == first
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_clock_an_hour_ahead_decides_late(policy, growing, versions):
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round(hours=1)
    for _ in range(3):
        growing.append()
        growing.round(hours=1)
    assert {row.note for row in decisions(live_arm(policy))[1:]} == {
        "Decided 3,600 s after the close of the bar, by what was live at its close."
    }
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_bar_that_comes_before_its_close_says_that_the_clock_is_behind(policy, growing, versions):
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()
    for seconds in (-3, -0.3):
        growing.append()
        growing.round(seconds=seconds)
    notes = [row.note for row in decisions(live_arm(policy))[1:]]
    assert notes == ["This machine's clock is 3 s behind the close of the bar.", ""]
    assert_replays(policy)


def test_clock_an_hour_behind_waits_until_the_bar_has_closed(policy, growing, versions):
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()
    growing.append()
    assert growing.round(hours=-1) == 0
    growing.append()
    assert growing.round(hours=-1) == 3
    assert growing.round() == 3
    assert [row.note for row in decisions(live_arm(policy))[1:]] == ["", ""]
    assert_equals_backtest(policy, growing)
    assert_replays(policy)


def test_replay_names_a_changed_row(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.grow(2)
    row = decisions(live_arm(policy))[1]
    QuerySet(Decision).filter(pk=row.pk).update(value=7.0)
    assert replay(live_arm(policy)).difference == f"{row.bar_opened_at:%Y-%m-%d %H:%M:%S}: value differ"


def test_replay_names_a_missing_row(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    growing.grow(3)
    row = decisions(live_arm(policy))[2]
    row.event.delete()
    Decision._base_manager.filter(pk=row.pk).delete()
    assert replay(live_arm(policy)).difference.endswith("bars before it without a decision: 1")


def test_policy_with_nothing_ever_live_has_no_account(policy, growing, versions):
    PolicyStore.objects.create(name="other", market=policy.market)
    growing.round()
    growing.grow()
    assert not Arm.objects.exists()
