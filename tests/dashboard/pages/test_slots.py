from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from rl_training.models import PolicyStore, SlotRange
from rl_training.policy_edits import set_enabled
from tests.dashboard.pages.page_text import words
from tests.stored import MARKUP, finished_run, skip_slots

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def test_slot_ledger_shows_the_outcome_of_each_slot(page, policy):
    PolicyStore.objects.update(next_run_at=timezone.now() + HOUR)
    assert "No slot has come yet." in words(page("/policies/rl_v3/runs/"))
    run = finished_run(policy, status="failed")
    skip_slots(policy, slots=8760, reason="too_few_new_bars", detail=MARKUP)
    ran = {"outcome": "ran", "reason": "", "run": run, "lateness_seconds": 61.0}
    skip_slots(policy, datetime(2027, 1, 1, tzinfo=UTC), **ran)
    html = page("/policies/rl_v3/runs/")
    assert MARKUP not in html
    assert f"2027-01-01 00:00:00 1 ran {run.run_id} failed 1 min 1 s" in words(html)
    assert "2026-01-01 00:00:00 to 2026-12-31 23:00:00 8760 skipped: too few new bars" in words(html)


def test_slots_of_a_disabled_policy_are_shown_as_they_pass(page, policy):
    set_enabled(policy, False)
    PolicyStore.objects.update(next_run_at=timezone.now() - 2.5 * HOUR)
    assert "3 pass without a run: disabled 0 s ago" in words(page("/policies/rl_v3/runs/"))
    assert not SlotRange.objects.exists()
