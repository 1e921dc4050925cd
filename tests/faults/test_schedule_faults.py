"""Faults of the schedule: killed and concurrent beats, doubled messages, moved clocks, long outages."""

import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

SECONDS_OF_MANY_BEATS = 600
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# The fewest bars with which some are left for the evaluation.
SMALL_MARKET = '{"source": "planted", "bars": 1000}'


def runs_of_each_policy(system: System) -> dict[int, int]:
    return Counter(run["policy_id"] for run in system.runs())


def check_all_succeed(system: System, count: int, seconds: float = 120) -> None:
    """Check that `count` runs succeed and that no run follows within three ticks of beat."""
    runs = system.wait_for_runs(count, seconds)
    still = time.monotonic() + 3
    wait_for(lambda: time.monotonic() > still, "three ticks to pass")
    assert Counter(run["status"] for run in system.runs()) == {"succeeded": count}
    assert len(runs) == count
    system.wait_until_invariants_hold()


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("slots_due", marks=pytest.mark.long),
        "runs_inserted",
        pytest.param("before_send", marks=pytest.mark.long),
        pytest.param("sent", marks=pytest.mark.long),
    ],
)
def test_killed_beat_leaves_one_run_for_each_policy(system, recovery, point):
    system.launch("worker")
    system.schedule(policies=3, episodes=1)
    system.launch("beat", fault=f"{point}:1:SIGKILL")
    system.wait_for_fault(point)
    recovery.begins()
    system.launch("beat")
    system.wait_for_runs(1)
    recovery.ends()
    check_all_succeed(system, 3)
    assert set(runs_of_each_policy(system).values()) == {1}


@pytest.mark.long
def test_beat_killed_at_a_random_time_leaves_one_run_for_each_policy(system, recovery, chance):
    system.launch("worker")
    system.schedule(policies=3, episodes=1)
    beat = system.launch("beat")
    log = system.folder / "beat.log"
    wait_for(lambda: "Config updated" in log.read_text(), "the first tick")
    killed = time.monotonic() + chance.uniform(0, 0.5)
    wait_for(lambda: time.monotonic() > killed, "the time of the kill")
    beat.kill()
    recovery.begins()
    system.launch("beat")
    system.wait_for_runs(1)
    recovery.ends()
    check_all_succeed(system, 3)


@pytest.mark.long
@pytest.mark.parametrize("beats", [2, 5])
def test_concurrent_beats_insert_one_run_for_each_slot(system, recovery, beats):
    for number in range(2):
        system.launch("worker", f"worker{number}")
    system.schedule(policies=5, episodes=1, interval_minutes=1)
    for number in range(beats):
        system.launch("beat", f"beat{number}")
    over = time.monotonic() + SECONDS_OF_MANY_BEATS
    wait_for(lambda: time.monotonic() > over, "the beats to run", 2 * SECONDS_OF_MANY_BEATS)
    system.execute("UPDATE rl_training_policystore SET enabled = %s", False)
    wait_for(lambda: all(run["finished_at"] for run in system.runs()), "all runs to end", 60)
    system.wait_until_invariants_hold()
    assert all(10 <= count <= 11 for count in runs_of_each_policy(system).values())


@pytest.mark.long
def test_message_delivered_a_hundred_times_starts_one_attempt(system, recovery):
    system.schedule()
    beat = system.launch("beat")
    wait_for(system.runs, "the run")
    wait_for(lambda: system.redis.client.llen("training"), "its message")
    beat.kill()
    system.manage(
        "shell",
        "--no-imports",
        "-c",
        "from rl_training.models import TrainingRun; from rl_training.runs import task_messages\n"
        "task_messages.send(list(TrainingRun.objects.all()) * 100)",
    )
    assert system.redis.client.llen("training") == 101
    for number in range(2):
        system.launch("worker", f"worker{number}")
    check_all_succeed(system, 1)
    wait_for(lambda: not system.redis.client.exists("training", "unacked"), "all messages to be acknowledged")
    assert [(run["attempt"], run["status"]) for run in system.runs()] == [(1, "succeeded")]


@pytest.mark.long
@pytest.mark.parametrize(
    "ahead", [HOUR, -HOUR, DAY, -DAY], ids=["1 h forward", "1 h back", "1 day forward", "1 day back"]
)
def test_moved_clock_doubles_and_skips_no_slot(system, recovery, ahead):
    system.schedule(policies=3, episodes=1, interval_minutes=60)
    for kind in ("worker", "beat"):
        system.launch(kind)
    check_all_succeed(system, 3)
    system.set_clock(ahead)
    recovery.begins()
    system.wait_for_runs(6)
    recovery.ends()
    check_all_succeed(system, 6)
    assert set(runs_of_each_policy(system).values()) == {2}


@pytest.mark.long
@pytest.mark.parametrize(
    "switch",
    [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)],
    ids=["forward", "back"],
)
def test_daylight_saving_change_doubles_and_skips_no_slot(system, recovery, switch, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    system.set_clock(switch - timedelta(seconds=20) - datetime.now(UTC))
    system.schedule(policies=3, episodes=1, interval_minutes=60, slot=switch - HOUR)
    for kind in ("worker", "beat"):
        system.launch(kind)
    # The slots of the hour before the switch and of the switch itself.
    check_all_succeed(system, 6)
    system.set_clock(switch + HOUR - datetime.now(UTC))
    check_all_succeed(system, 9)
    assert list(Counter(str(run["scheduled_for"]) for run in system.runs()).values()) == [3, 3, 3]


@pytest.mark.long
def test_day_of_outage_adds_one_run_for_each_policy(system, recovery):
    system.schedule(policies=3, interval_minutes=60)
    for kind in ("worker", "beat"):
        system.launch(kind)
    wait_for(lambda: any(run["iterations_done"] for run in system.runs()), "training to go on", 2 * RECOVERY_SECONDS)
    for kind in ("worker", "beat"):
        system.send_signal(kind, signal.SIGKILL)
    system.redis.kill()
    begun = runs_of_each_policy(system)
    system.set_clock(DAY)
    system.redis.start()
    recovery.begins()
    for kind in ("worker", "beat"):
        system.launch(kind, f"{kind}, a day later")
    system.wait_for_runs(1)
    recovery.ends()
    check_all_succeed(system, 6)
    assert begun == dict.fromkeys(runs_of_each_policy(system), 1)
    assert set(runs_of_each_policy(system).values()) == {2}


def test_policy_with_an_invalid_stored_config_is_skipped_alone(system, recovery):
    system.schedule(policies=3, episodes=1)
    system.execute("UPDATE rl_training_policystore SET ppo = %s WHERE name = 'policy_2'", '{"gamma": 5}')
    for kind in ("worker", "beat"):
        system.launch(kind)
    check_all_succeed(system, 2)
    [policy] = system.query("SELECT id, schedule_error FROM rl_training_policystore WHERE name = 'policy_2'")
    assert "gamma" in policy["schedule_error"]
    assert policy["id"] not in runs_of_each_policy(system)


@pytest.mark.long
def test_thousand_policies_due_at_once_are_queued_within_5_seconds(system, recovery):
    system.schedule(policies=1000, episodes=1, slot=datetime.now(UTC) + HOUR)
    system.execute("UPDATE rl_training_policystore SET market = %s", SMALL_MARKET)
    workers = [system.launch("worker", f"worker{number}") for number in range(2)]
    system.launch("beat")
    wait_for(lambda: (system.folder / "beat.log").read_text().count("Config updated") == 1000, "beat to know all", 60)
    system.set_next_slot(datetime.now(UTC))
    recovery.begins()
    wait_for(lambda: system.count("queued_at IS NOT NULL") == 1000, "all runs to be queued", 60)
    recovery.ends()
    assert recovery.seconds[0] <= 5
    check_all_succeed(system, 1000, 900)
    assert most_at_once(system) <= len(workers)


def most_at_once(system: System) -> int:
    """Return the largest number of runs that were running at the same time."""
    changes = [(run["started_at"], 1) for run in system.runs()] + [(run["finished_at"], -1) for run in system.runs()]
    running = [0]
    for _, change in sorted(changes):
        running.append(running[-1] + change)
    return max(running)
