import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from rl_training.models import PolicyStore
from rl_training.policy_edits import set_enabled
from rl_training.schedule import slots
from tests.management.test_commands import output_of, refusal_of
from tests.stored import skip_slots

pytestmark = pytest.mark.django_db
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def waiting(policy) -> PolicyStore:
    """Return a policy whose next slot is ahead."""
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(hours=1))
    return PolicyStore.objects.get()


def test_slots_are_printed_the_latest_first(waiting):
    PolicyStore.objects.update(next_run_at=NEW_YEAR)
    [run] = slots.enqueue_due([PolicyStore.objects.get()], NEW_YEAR + timedelta(hours=2, seconds=1))
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(hours=1))
    skip_slots(waiting, NEW_YEAR + timedelta(hours=3), reason="too_few_new_bars", detail="1 new bar, 2 needed")
    assert output_of("schedule_slots", "rl_v3").splitlines() == [
        "2026-01-01 03:00:00: skipped, too few new bars: 1 new bar, 2 needed",
        f"2026-01-01 01:00:00 to 2026-01-01 02:00:00, 2 slots: coalesced into run {run.run_id} queued (missed)",
        f"2026-01-01 00:00:00: run {run.run_id} queued, queued 7,201.0 s late",
    ]


def test_slots_of_a_time_are_printed_as_json(waiting):
    for day in range(3):
        skip_slots(waiting, NEW_YEAR + timedelta(days=day), slots=2)
    printed = json.loads(output_of("schedule_slots", "rl_v3", "--json", "--from=2026-01-02", "--to=2026-01-03T00:00Z"))
    assert printed == {
        "passing": None,
        "slots": [
            {
                "first_slot": "2026-01-02T00:00:00.000000Z",
                "last_slot": "2026-01-02T01:00:00.000000Z",
                "slots": 2,
                "interval_minutes": 60,
                "outcome": "skipped",
                "reason": "disabled",
                "detail": "",
                "run_id": None,
                "run_status": None,
                "lateness_seconds": None,
            }
        ],
    }
    assert len(json.loads(output_of("schedule_slots", "rl_v3", "--json", "--limit=2"))["slots"]) == 2


def test_slots_that_pass_while_disabled_are_printed_first(waiting):
    set_enabled(waiting, False)
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(minutes=150))
    printed = output_of("schedule_slots", "rl_v3")
    assert ", 3 slots: not decided yet: disabled since " in printed
    assert printed.endswith("The ledger has no such slots.\n")
    assert json.loads(output_of("schedule_slots", "rl_v3", "--json"))["passing"]["because"] == "disabled"


@pytest.mark.parametrize("options", [["rl_v4"], ["rl_v3", "--from=soon"], ["rl_v3", "--limit=0"]])
def test_wrong_usage_is_refused(policy, options):
    assert refusal_of("schedule_slots", *options).returncode in (1, 2)
