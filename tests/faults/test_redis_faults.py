"""Redis, the broker and the streams: away, empty or silent while runs train, finish and wait."""

import os
import signal
import time
from contextlib import closing

import pytest

from tests.faults.outcome import all_end_as_if_nothing_had_happened, child_of
from tests.faults.proxy import Proxy
from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

CONSUMING_WITHIN_SECONDS = 30
DELIVERED_WITHIN_SECONDS = 10


def go_on(system: System) -> None:
    os.kill(child_of(system, "worker"), signal.SIGCONT)


def wait_until(moment: float) -> None:
    wait_for(lambda: time.monotonic() >= moment, "the time to pass", moment - time.monotonic() + 1)


def all_started(system: System) -> bool:
    return all(run["started_at"] for run in system.runs())


def wait_until_consuming(system: System) -> None:
    """Until the worker waits for a message, or has had them all; a busy one does not ask for any."""

    def consumes() -> bool:
        return all_started(system) or any(client["cmd"] == "brpop" for client in system.redis.client.client_list())

    wait_for(consumes, "the worker to consume", CONSUMING_WITHIN_SECONDS)


def wait_for_runs_in_database(system: System, status: str, count: int, seconds: float = RECOVERY_SECONDS) -> None:
    wait_for(lambda: [run["status"] for run in system.runs()].count(status) >= count, f"{count} {status}", seconds)


def test_redis_restarts_with_its_append_only_file_while_a_run_trains(system, recovery):
    system.launch_until("iteration:50:SIGSTOP", policies=2)
    system.redis.restart()
    recovery.begins()
    go_on(system)
    wait_until_consuming(system)
    wait_for(lambda: all_started(system), "all runs to start", RECOVERY_SECONDS)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [1, 1])


@pytest.mark.long
def test_redis_restarts_empty_while_one_run_has_ended_one_trains_and_one_waits(system, recovery):
    system.launch_until("iteration:300:SIGSTOP", policies=3)
    system.redis.restart(keeping=0)
    recovery.begins()
    go_on(system)
    wait_until_consuming(system)
    wait_for(lambda: all_started(system), "all runs to start", RECOVERY_SECONDS)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [1, 1, 1])


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.long)])
def test_redis_is_down_while_a_run_finishes(system, recovery, seconds):
    system.launch_until("iteration:150:SIGSTOP")
    system.redis.kill()
    back_at = time.monotonic() + seconds
    go_on(system)
    wait_for_runs_in_database(system, "succeeded", 1)
    wait_until(back_at)
    system.redis.start()
    recovery.begins()
    wait_for(lambda: not system.violations(), "the event to be delivered", DELIVERED_WITHIN_SECONDS)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [1])


@pytest.mark.long
def test_redis_accepts_connections_and_never_answers_while_a_run_trains_and_finishes(system, recovery):
    system.launch_until("iteration:20:SIGSTOP")
    system.redis.process.send_signal(signal.SIGSTOP)
    go_on(system)
    # A time-out of 5 s in each place where Redis is asked, and not one for each of the episodes.
    wait_for_runs_in_database(system, "succeeded", 1, 20)
    system.redis.process.send_signal(signal.SIGCONT)
    recovery.begins()
    wait_for(lambda: not system.violations(), "the event to be delivered", DELIVERED_WITHIN_SECONDS)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [1])


@pytest.mark.long
def test_the_network_to_redis_stalls_while_a_run_trains_and_finishes(system, recovery):
    with closing(Proxy(system.redis.socket)) as proxy:
        system.redis_url = proxy.url
        system.launch_until("iteration:20:SIGSTOP", policies=2)
        proxy.stall()
        go_on(system)
        wait_for_runs_in_database(system, "succeeded", 1, 20)
        proxy.flow()
        recovery.begins()
        wait_until_consuming(system)
        wait_for(lambda: all_started(system), "all runs to start", RECOVERY_SECONDS)
        recovery.ends()
        all_end_as_if_nothing_had_happened(system, [1, 1])


@pytest.mark.long
def test_policies_come_due_while_redis_accepts_connections_and_never_answers(system, recovery):
    system.launch("worker")
    system.launch("beat")
    wait_for(lambda: system.redis.client.exists("quantum_trader:alive:worker"), "the worker", RECOVERY_SECONDS)
    system.redis.process.send_signal(signal.SIGSTOP)
    system.schedule(250, episodes=1)
    # A time-out of 5 s for the first message, and none for each hundred of the others.
    wait_for_runs_in_database(system, "queued", 250, 10)
    system.redis.process.send_signal(signal.SIGCONT)
    recovery.begins()
    wait_for_runs_in_database(system, "succeeded", 1)
    recovery.ends()
    assert {run["attempt"] for run in system.wait_for_runs(10)} == {1}
    system.wait_until_all_holds()


@pytest.mark.long
def test_the_broker_restarts_20_times_in_2_minutes(system, recovery):
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
    all_end_as_if_nothing_had_happened(system, [1])
