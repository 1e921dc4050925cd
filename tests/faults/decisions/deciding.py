"""A policy that decides on a growing file while clients request its decision, and the checks afterwards."""

import http.client
import json
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.decision_rows.growing_file import GrowingFile
from quantum_trader.processes import COMMANDS
from tests.faults.system import RECOVERY_SECONDS, System
from tests.faults.test_api_faults import MAKE_TOKEN, UnixConnection, start_web
from tests.waiting import wait_for

BEFORE = datetime.min.replace(tzinfo=UTC)
# Seconds for each bar, and how many bars long a decision is valid.
BAR_SECONDS, MAX_BAR_AGE = 2, 3
LIMITS = {"MAX_BAR_AGE": str(MAX_BAR_AGE), "API_READS_PER_MINUTE": "1000000"}
CLIENTS = 4
PAUSE_SECONDS = 0.2
# The time from the check of a decision's age to the end of the answer, on a busy machine.
ON_THE_WAY = timedelta(seconds=2)
# A fault during which no decision becomes too old lasts for this many new bars.
BARS_OF_A_FAULT = 3
# There is no guard, because the clock of a fault may be an hour ahead, and then bars are old.
SET_UP = f"""
from rl_training.models import PolicyStore
from tests.decisions.growing import set_up
from tests.stored import deploy
from tests.weights import stored_version

policy = PolicyStore.objects.get(name="rl_v3")
policy.fallback = "none"
set_up(policy, "growing.csv")
deploy(stored_version(policy, 1))
stored_version(policy, 2)
{MAKE_TOKEN}
"""


@dataclass
class Clients:
    """Clients that request the decision in force repeatedly, until `stop`.

    wrong     descriptions of answers with 200 that are stale or impossible; any other status is a refusal
    statuses  how often each status came; 0: no answer
    newest    the close of the newest bar of an answer with 200
    """

    system: System
    token: str
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    newest: datetime = BEFORE
    versions: set[int] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        path = start_web(self.system, "web")
        self._threads = [threading.Thread(target=self._ask_on, args=(path,), daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(RECOVERY_SECONDS)

    def refused(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    def _ask_on(self, path: Any) -> None:
        while not self._stopped.wait(PAUSE_SECONDS):
            connection = UnixConnection(path)
            try:
                connection.request(
                    "GET", "/api/v1/policies/rl_v3/decision", headers={"Authorization": f"Token {self.token}"}
                )
                response = connection.getresponse()
                body, now = response.read(), datetime.now(UTC)
                self.statuses[response.status] += 1
                if response.status == 200:
                    self._judge(json.loads(body), now)
            except (OSError, http.client.HTTPException):
                self.statuses[0] += 1
            finally:
                connection.close()

    def _judge(self, answer: Any, now: datetime) -> None:
        closed_at, valid_until = (datetime.fromisoformat(answer[key]) for key in ("bar_closed_at", "valid_until"))
        if now > valid_until + ON_THE_WAY or now < closed_at - timedelta(minutes=1):
            self.wrong.append(f"{now}: valid until {valid_until}, of a bar that closed at {closed_at}")
        if valid_until != closed_at + timedelta(seconds=BAR_SECONDS * MAX_BAR_AGE):
            self.wrong.append(f"a bar that closed at {closed_at} is valid until {valid_until}")
        self.newest = max(self.newest, closed_at)
        self.versions.add(answer["version"])


class Deciding:
    """The system with the processes web, beat, worker and decide, a file that grows, and clients.

    `server` is the PostgreSQL of the case; None: the system has SQLite.
    """

    def __init__(self, system: System, server: Any = None) -> None:
        self.system, self.server = system, server
        self.file = GrowingFile(system.folder / "market", "growing.csv", seconds=BAR_SECONDS)
        self._last = threading.Event()
        self._growing = threading.Thread(target=self._grow, daemon=True)
        self.clients = Clients(system, system.manage("shell", "-c", SET_UP).split()[-1])

    def start(self) -> None:
        """Start everything, and wait for the first answer."""
        self._growing.start()
        self.launch("decide")
        self.system.launch("beat")
        self.system.launch("worker")
        self.clients.start()
        self.wait_for_answers(1)

    def launch(self, name: str) -> None:
        if name == "decide":
            self.system.processes[name] = self.system.start(name, ("-m", *COMMANDS["decide"]))
        else:
            self.system.launch(name)

    def kill(self, name: str) -> None:
        self.system.send_signal(name, signal.SIGKILL)
        self.system.processes[name].wait()

    def wait_for_answers(self, bars: int) -> None:
        """Wait for an answer on a bar that closes the given number of bars from now on."""
        wanted = datetime.now(UTC) + timedelta(seconds=BAR_SECONDS * (bars - 1))
        wait_for(lambda: self.clients.newest >= wanted, f"answers on {bars} new bars", 2 * RECOVERY_SECONDS)

    def wait_for_refusals(self) -> None:
        """Wait until the newest answer is too old, and clients are refused or get no answer."""
        old_at = time.monotonic() + 2 * BAR_SECONDS * MAX_BAR_AGE
        before = self.clients.refused()
        wait_for(
            lambda: time.monotonic() > old_at and (self.clients.refused() > before or self.clients_wait()),
            "refusals",
            RECOVERY_SECONDS,
        )

    def clients_wait(self) -> bool:
        """Return whether no client has got an answer for as long as a decision is valid."""
        return datetime.now(UTC) - self.clients.newest > timedelta(seconds=BAR_SECONDS * MAX_BAR_AGE)

    def check(self) -> None:
        """End the growth and the clients, and check the answers, the accounts, the decisions and their events."""
        self._last.set()
        self._growing.join(RECOVERY_SECONDS)
        wait_for(lambda: not self.undecided(), "decisions on all bars", RECOVERY_SECONDS)
        wait_for(lambda: self.events().keys() == self.decided(), "the events", RECOVERY_SECONDS)
        self.clients.stop()
        assert self.clients.wrong == []
        assert set(self.events().values()) == {1}
        lines = self.system.manage("policy_accounts", "rl_v3", "--replay", "--json").splitlines()
        accounts = [json.loads(line) for line in lines]
        assert [(account["arm"], account["difference"]) for account in accounts] == [
            ("live", ""),
            ("flat", ""),
            ("buy_and_hold", ""),
        ]
        assert self.bars_without_one_decision() == []

    def undecided(self) -> list[Any]:
        """Return the newest bar of the file if the live arm has not decided on it."""
        last = self.file.file.read_text().splitlines()[-1].split(",")[0]
        found = self.system.query(
            "SELECT MAX(bar_opened_at) AS newest FROM rl_training_decision decision "
            "JOIN rl_training_arm arm ON arm.id = decision.arm_id WHERE arm.kind = 'live'"
        )
        return [] if as_time(found[0]["newest"]) == as_time(last) else [last]

    def decided(self) -> set[str]:
        """Return the ids of the live arm's decisions."""
        rows = self.system.query(
            "SELECT decision.decision_id FROM rl_training_decision decision "
            "JOIN rl_training_arm arm ON arm.id = decision.arm_id WHERE arm.kind = 'live'"
        )
        return {str(row["decision_id"]).replace("-", "") for row in rows}

    def events(self) -> Counter[str]:
        """Count the entries of the stream by the decision that they announce."""
        client: Any = self.system.redis.client
        entries = client.xrange("rl_v3.decision.made")
        return Counter(json.loads(entry["payload"])["decision_id"].replace("-", "") for _, entry in entries)

    def bars_without_one_decision(self) -> list[Any]:
        """Return the bars since the first decision on which an arm has not decided exactly once."""
        return self.system.query(
            "SELECT bar.opened_at, arm.kind, COUNT(decision.id) AS decisions FROM rl_training_marketbar bar "
            "JOIN rl_training_arm arm ON arm.market_id = bar.market_id "
            "LEFT JOIN rl_training_decision decision "
            "ON decision.arm_id = arm.id AND decision.bar_opened_at = bar.opened_at "
            "WHERE bar.revision = 0 AND bar.opened_at >= (SELECT MIN(bar_opened_at) FROM rl_training_decision) "
            "GROUP BY bar.opened_at, arm.kind HAVING COUNT(decision.id) <> 1"
        )

    def _grow(self) -> None:
        while not self._last.is_set():
            self.file.append()


def as_time(stored: Any) -> datetime:
    """Return a time as the databases and the file have it."""
    found = stored if isinstance(stored, datetime) else datetime.fromisoformat(str(stored))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
