"""Sources whose bars disappear or have no volumes, and markets that fail in an unforeseen way."""

import pytest

from rl_training.core.deciding.new_bars import tail_of_file
from rl_training.decisions.process import reading
from rl_training.decisions.process.loop import DecidingLoop
from rl_training.models import FollowedMarket, MarketBar, PolicyStore
from tests.decisions.growing import Growing, assert_replays, decisions, live_arm, set_up
from tests.stored import deploy
from tests.weights import stored_version

pytestmark = pytest.mark.django_db


def test_account_goes_on_after_many_bars_were_removed(policy, growing):
    deploy(stored_version(policy, 1, features=["log_return_1", "volatility_20"]))
    growing.round()
    growing.grow(3)
    lines = growing.file.read_text().splitlines(keepends=True)[1:]
    growing.rewrite([*lines[:30], *lines[118:]])
    growing.round()
    growing.grow(3)
    assert live_arm(policy).error == ""
    # 16 older bars of the file are seen for the first time.
    notes = [row.note for row in decisions(live_arm(policy))[4:]]
    assert notes == ["16 earlier bars came late. 88 earlier bars disappeared from the source.", "", ""]
    assert_replays(policy)


def test_file_without_volumes_is_decided_on(policy, growing, versions):
    def cut():
        rows = (growing.line(bar) for bar in range(growing.shown))
        lines = [growing.header, *rows]
        growing.file.write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))

    deploy(versions[0])
    for _ in range(3):
        cut()
        growing.round()
        growing.append()
    assert [row.note for row in decisions(live_arm(policy))[1:]] == ["", ""]
    assert MarketBar.objects.filter(volume__isnull=False).count() == 0
    assert_replays(policy)


def test_refused_settings_of_a_market_are_named(policy, growing, versions):
    deploy(versions[0])
    growing.round()
    market = FollowedMarket.objects.get()
    FollowedMarket.objects.update(config=market.config | {"source": "ftp"})
    market.refresh_from_db()
    reading.Reader().read(market, growing.now)
    sources = "'sp500', 'nasdaq', 'file', 'exchange' or 'planted'"
    assert FollowedMarket.objects.get().error == f"source: Input should be {sources}, got ftp"


@pytest.mark.django_db(transaction=True)
def test_unforeseen_error_of_a_market_is_shown_and_the_others_decide_on(policy, growing, versions, monkeypatch):
    other = PolicyStore.objects.create(name="other")
    set_up(other, "others.csv")
    others = Growing(growing.file.parent, "others.csv")
    for version in (versions[0], stored_version(other, 1)):
        deploy(version)
    growing.round()
    growing.append()
    others.append()

    def broken(config, *values):
        if config.path == "growing.csv":
            raise KeyError("close")
        return tail_of_file(config, *values)

    monkeypatch.setattr(reading, "tail_of_file", broken)
    loop = DecidingLoop()
    loop.once(growing.now)
    market = FollowedMarket.objects.get(label="growing.csv")
    assert market.error == "an unforeseen error, which the log describes: KeyError: 'close'"
    assert (market.failures, live_arm(policy).decisions.count(), live_arm(other).decisions.count()) == (1, 1, 1)
    monkeypatch.undo()
    loop.once(market.due_at)
    assert (FollowedMarket.objects.get(pk=market.pk).error, live_arm(policy).decisions.count()) == ("", 2)
    assert_replays(policy)
