"""A Redis that is down, empty or does not answer while runs train, finish and wait."""

import os
import signal
import time
from contextlib import closing

import pytest

from tests.faults.outcome import check_runs_end_undisturbed, child_of
from tests.faults.proxy import Proxy
from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

pytestmark = pytest.mark.no_worker_lost

CONSUMING_WITHIN_SECONDS = 30
DELIVERED_WITHIN_SECONDS = 10


def continue_training(system: System) -> None:
    os.kill(child_of(system, "worker"), signal.SIGCONT)


def wait_until(time_to_reach: float) -> None:
    wait_for(lambda: time.monotonic() >= time_to_reach, "the time to pass", time_to_reach - time.monotonic() + 1)


def all_started(system: System) -> bool:
    return all(run["started_at"] for run in system.runs())


def wait_until_consuming(system: System) -> None:
    """Wait until the worker waits for a message or all runs have started: a busy worker waits for no message."""

    def consumes() -> bool:
        return all_started(system) or any(client["cmd"] == "brpop" for client in system.redis.client.client_list())

    wait_for(consumes, "the worker to consume", CONSUMING_WITHIN_SECONDS)


def wait_for_runs_in_database(system: System, status: str, count: int, seconds: float = RECOVERY_SECONDS) -> None:
    wait_for(lambda: [run["status"] for run in system.runs()].count(status) >= count, f"{count} {status}", seconds)


def test_restart_of_redis_during_training_loses_nothing(system, recovery):
    system.launch_until("iteration:50:SIGSTOP", policies=2)
    system.redis.restart()
    recovery.begins()
    continue_training(system)
    wait_until_consuming(system)
    wait_for(lambda: all_started(system), "all runs to start", RECOVERY_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1, 1])


@pytest.mark.long
def test_restart_of_an_emptied_redis_loses_nothing(system, recovery):
    system.launch_until("iteration:300:SIGSTOP", policies=3)
    system.redis.restart(keeping=0)
    recovery.begins()
    continue_training(system)
    wait_until_consuming(system)
    wait_for(lambda: all_started(system), "all runs to start", RECOVERY_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1, 1, 1])


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.long)])
def test_redis_that_is_down_while_a_run_finishes_gets_its_event_later(system, recovery, seconds):
    system.launch_until("iteration:150:SIGSTOP")
    system.redis.kill()
    back_at = time.monotonic() + seconds
    continue_training(system)
    wait_for_runs_in_database(system, "succeeded", 1)
    wait_until(back_at)
    system.redis.start()
    recovery.begins()
    wait_for(lambda: not system.violations(), "the event to be delivered", DELIVERED_WITHIN_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1])


@pytest.mark.long
def test_redis_that_never_answers_delays_a_run_by_seconds_only(system, recovery):
    system.launch_until("iteration:20:SIGSTOP")
    system.redis.process.send_signal(signal.SIGSTOP)
    continue_training(system)
    # Each place that calls Redis waits for one timeout of 5 s; there is no timeout for each episode.
    wait_for_runs_in_database(system, "succeeded", 1, 20)
    system.redis.process.send_signal(signal.SIGCONT)
    recovery.begins()
    wait_for(lambda: not system.violations(), "the event to be delivered", DELIVERED_WITHIN_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1])


@pytest.mark.long
def test_stalled_network_to_redis_delays_a_run_by_seconds_only(system, recovery):
    with closing(Proxy(system.redis.socket)) as proxy:
        system.redis_url = proxy.url
        system.launch_until("iteration:20:SIGSTOP", policies=2)
        proxy.stall()
        continue_training(system)
        wait_for_runs_in_database(system, "succeeded", 1, 20)
        proxy.flow()
        recovery.begins()
        wait_until_consuming(system)
        wait_for(lambda: all_started(system), "all runs to start", RECOVERY_SECONDS)
        recovery.ends()
        check_runs_end_undisturbed(system, [1, 1])


@pytest.mark.long
def test_policies_due_while_redis_never_answers_are_queued(system, recovery):
    system.launch("worker")
    system.launch("beat")
    wait_for(lambda: system.redis.client.exists("quantum_trader:alive:worker"), "the worker", RECOVERY_SECONDS)
    system.redis.process.send_signal(signal.SIGSTOP)
    system.schedule(250, episodes=1)
    # The first message waits for a timeout of 5 s; the other messages do not.
    wait_for_runs_in_database(system, "queued", 250, 10)
    system.redis.process.send_signal(signal.SIGCONT)
    recovery.begins()
    wait_for_runs_in_database(system, "succeeded", 1)
    recovery.ends()
    assert {run["attempt"] for run in system.wait_for_runs(10)} == {1}
    system.wait_until_invariants_hold()


@pytest.mark.long
def test_worker_consumes_after_20_broker_restarts_in_2_minutes(system, recovery):
    system.launch("worker")
    system.launch("beat")
    began = time.monotonic()
    for number in range(1, 21):
        system.redis.restart()
        wait_until(began + 6 * number)
    wait_until(time.monotonic() + 30)
    recovery.begins()
    system.schedule()
    wait_for(lambda: any(run["started_at"] for run in system.runs()), "the worker to consume", CONSUMING_WITHIN_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1])
