"""The guards of a live version: change detector, drawdown, stale bars, probabilities; and the actions of guards."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rl_training.core.deciding import decision as core
from rl_training.core.evaluation.betting import STAKES, detect
from rl_training.models import Deployment, PolicyStore, Watch
from tests.decisions.growing import assert_replays, decisions, live_arm, set_up
from tests.stored import deploy
from tests.weights import stored_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def guarded(policy, growing, versions, change):
    """Return a function that makes version 1 live, after version 2, under guards with these settings."""

    def made(**columns):
        for name, value in columns.items():
            setattr(policy, name, value)
        policy.save_settings(*columns)
        change("promote", versions[1])
        change("promote", versions[0])
        growing.round()
        return growing

    return made


def newest(policy):
    return Deployment.objects.filter(policy=policy).order_by("-at").first()


def test_detector_follows_the_account_against_flat(policy, guarded):
    growing = guarded()
    growing.grow(6)
    equities = [row.equity for row in decisions(live_arm(policy))]
    state = np.zeros(len(STAKES))
    for before, after in pairwise(equities):
        state = detect(state, -(math.log(after) - math.log(before)))
    found = Watch.objects.get()
    assert (found.bars, found.detector, found.evidence) == (6, state.tolist(), float(state.mean()))
    assert found.peak == max(equities)
    growing.round()
    assert Watch.objects.get().bars == 6


def test_losing_version_is_demoted_to_flat(policy, guarded):
    growing = guarded(demotion_bars=3)
    growing.grow(6)
    found = newest(policy)
    assert (found.action, found.actor, found.version, found.pinned) == ("go_flat", "guard", None, True)
    assert found.reason.startswith("The account of the live version falls behind flat: after ")
    assert found.event.event_type == "rl_v3.deployment.changed"
    assert [row.version for row in decisions(live_arm(policy))][-1] is None
    assert_replays(policy)


def test_watch_begins_anew_after_a_guard_and_while_nothing_is_live(policy, guarded, versions, change):
    growing = guarded(demotion_bars=3)
    growing.grow(8)
    assert (Watch.objects.get().bars, Watch.objects.get().evidence) == (0, 0.0)
    change("promote", versions[0])
    growing.grow(2)
    assert Watch.objects.get().bars == 1


def test_fallback_to_the_version_before_and_then_to_flat(policy, guarded, versions):
    growing = guarded(demotion_bars=2, fallback="previous")
    growing.grow(2)
    found = newest(policy)
    assert (found.action, found.actor, found.version) == ("roll_back", "guard", versions[1])
    growing.grow(4)
    assert (newest(policy).action, newest(policy).actor) == ("go_flat", "guard")


def test_fallback_without_weights_is_flat(policy, guarded, versions):
    growing = guarded(demotion_bars=2, fallback="previous")
    type(versions[1]).objects.filter(pk=versions[1].pk).update(weights_removed_at=growing.now)
    growing.grow(2)
    assert (newest(policy).action, newest(policy).actor) == ("go_flat", "guard")


def test_drawdown_beyond_the_limit_ends_what_is_live(policy, guarded):
    growing = guarded(drawdown_limit=1)
    growing.grow(12)
    assert (newest(policy).actor, newest(policy).version) == ("guard", None)
    assert newest(policy).reason.startswith("The drawdown of the live version, ")


def test_probability_that_is_not_finite_ends_what_is_live(policy, guarded, monkeypatch):
    growing = guarded()
    chosen = core.Choice(1.0, np.zeros(4, np.float32), (math.nan, 0.5, 0.5), 0.0)
    monkeypatch.setattr(core, "choose", lambda *_: chosen)
    growing.grow()
    assert newest(policy).reason == "A probability of the live version is not finite."
    assert newest(policy).version is None


def test_stale_bars_end_what_is_live_once(policy, guarded):
    growing = guarded(fallback="previous")
    growing.grow()
    assert growing.round(hours=1, minutes=59) == 0
    assert newest(policy).actor == "user"
    growing.round(hours=2, seconds=5)
    assert (newest(policy).action, newest(policy).actor) == ("go_flat", "guard")
    assert "too long ago" in newest(policy).reason
    count = Deployment.objects.count()
    growing.round(hours=3)
    assert Deployment.objects.count() == count


def test_market_that_has_paused_before_may_pause_again(policy, guarded):
    growing = guarded()
    growing.skip(5)
    growing.grow()
    growing.round(hours=11)
    assert newest(policy).actor == "user"
    growing.round(hours=12, seconds=5)
    assert newest(policy).actor == "guard"


def test_bars_that_come_late_together_are_not_stale(policy, guarded):
    growing = guarded()
    growing.append(5)
    growing.round()
    assert newest(policy).actor == "user"


def test_version_that_was_promoted_on_old_bars_waits(policy, guarded, versions, change):
    growing = guarded()
    growing.round(hours=3)
    change("promote", versions[1])
    growing.round(hours=4)
    assert newest(policy).version == versions[1]


def test_policy_without_fallback_is_watched_and_no_guard_acts(policy, guarded):
    growing = guarded(demotion_bars=1, drawdown_limit=1, fallback="none")
    growing.grow(6)
    growing.round(hours=5)
    assert newest(policy).actor == "user"
    assert Watch.objects.get().bars == 6


def queries_of(round_):
    with CaptureQueriesContext(connection) as made:
        round_()
    return len(made)


def queries_while_stale(growing):
    """Return the queries of a round on a market that pauses, after the guard has acted and the arms were fitted."""
    for hours in (5, 6):
        growing.round(hours=hours)
    return queries_of(partial(growing.round, hours=7))


def test_number_of_queries_does_not_grow_with_the_policies(policy, guarded, versions):
    growing = guarded(fallback="flat")
    growing.grow()
    growing.append()
    on_a_bar = queries_of(growing.round)
    stale = queries_while_stale(growing)
    assert newest(policy).actor == "guard"
    for number in range(4):
        other = PolicyStore.objects.create(name=f"other_{number}")
        set_up(other)
        deploy(stored_version(other, 1))
    growing.append()
    growing.round()
    growing.append()
    assert queries_of(growing.round) == on_a_bar
    assert queries_while_stale(growing) == stale
    assert {newest(other).actor for other in PolicyStore.objects.exclude(pk=policy.pk)} == {"guard"}
