"""What the sources of bars do: bars that disappear, and files without volumes."""

import pytest

from rl_training.models import MarketBar
from tests.decisions.growing import assert_replays, decisions, live_arm
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
    # 88 bars are gone, and 16 older ones of the file are seen for the first time.
    assert [row.note for row in decisions(live_arm(policy))[4:]] == ["104 earlier bars changed at the source.", "", ""]
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
