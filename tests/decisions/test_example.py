"""The consumer under docs/examples follows the decisions of a policy with a group."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from rl_training.models import Decision
from tests.decisions.growing import Growing, closing, set_up
from tests.stored import deploy
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.process]
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "follow_decisions.py"


def test_consumer_prints_and_acknowledges_each_decision(policy, versions, market_root, streams):
    environment = os.environ | {"REDIS_URL": settings.REDIS_URL}
    command = [sys.executable, str(EXAMPLE), "rl_v3", "traders"]
    consumer = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: streams.exists("rl_v3.decision.made"), "the group")
        set_up(policy)
        growing = Growing(market_root, market=closing(datetime.now(UTC) - timedelta(hours=3)))
        deploy(versions[0], at=growing.now - timedelta(days=1))
        growing.round()
        growing.grow(3)
        assert consumer.stdout is not None
        lines = [consumer.stdout.readline().strip() for _ in range(4)]
        rows = list(Decision.objects.filter(arm__kind="live").order_by("bar_opened_at"))
        assert [line.startswith("too late") for line in lines] == [True, True, False, False]
        assert str(rows[0].decision_id) in lines[0]
        assert lines[3].endswith(f"rl_v3 target {rows[3].target_position:+g}")
        wait_for(lambda: not streams.xpending("rl_v3.decision.made", "traders")["pending"], "acknowledgements")
    finally:
        consumer.kill()
        consumer.wait()
