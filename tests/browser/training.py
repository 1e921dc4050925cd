"""Real training on a site: runs of several policies, a failed run, an alert, and a long run under way."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

from quantum_trader.processes import BASE_DIR
from tests.browser.names import DECIDED, GOLD, GROWING, UNTRAINED
from tests.browser.site import Site
from tests.waiting import wait_for

# The policy with a long run under way, and the policy whose finished runs and versions the screenshots show.
RUNNING, FINISHED = "rl_v3", "nasdaq_trend"
# How many runs each policy trains.
RUNS = {RUNNING: 10, FINISHED: 12, "sp500_long_flat": 5, "nasdaq_low_cost": 3, DECIDED: 2, GOLD: 2}
# The version of each policy that is live.
PROMOTED = {FINISHED: 10, DECIDED: 1}
# A bar each five seconds, after bars enough to train on.
REPLAY = ("manage.py", "market_replay", "planted", "--speed", "720", "--history", "3000", "--to", GROWING)
DECISIONS = 60
EPISODES = 2
# The long run is long enough for all screenshots; they begin after the second number of episodes.
LONG_RUN_EPISODES, BEGIN_AFTER_EPISODES = 400, 60


def train(system: Site) -> None:
    """Train the runs of `RUNS`, a run of every policy on the schedule, and the long run up to the first screenshots.

    Before the long run, versions are promoted, versions of `FINISHED` are compared, and its recipe is walked forward.
    DECIDED decides meanwhile, and two of its arms are compared.

    `system` needs web, worker, alerts and decide at work, the rows `untrained`, and a market that `growing_market` lets
    grow; beat is started here. Sets in `system.stored` what `page_urls` needs.
    """
    for number in range(max(RUNS.values())):
        for policy, runs in RUNS.items():
            if number < runs:
                trigger(system, policy, EPISODES)
        wait_for(lambda: not active(system), "the runs to end", 600)
    system.query("UPDATE rl_training_policystore SET enabled = 0 WHERE name = 'nasdaq_low_cost'")
    system.start("beat")
    scheduled = "SELECT COUNT(*) AS number FROM rl_training_trainingrun WHERE \"trigger\" = 'schedule'"
    wait_for(lambda: system.query(scheduled)[0]["number"] == len(UNTRAINED), "a scheduled run of each policy", 300)
    wait_for(lambda: not active(system), "the scheduled runs to end", 300)
    for policy, number in PROMOTED.items():
        system.run("manage.py", "policy_promote", policy, str(number), "--reason", "For the pages.")
    system.run("manage.py", "policy_compare", f"{FINISHED}:1", f"{FINISHED}:2", "--wait")
    system.run("manage.py", "walk_forward", FINISHED, "--wait")
    system.run("manage.py", "policy_compare_arms", DECIDED, "buy_and_hold")
    alert = wait_for(lambda: system.query("SELECT id FROM alerts_alert WHERE resolved_at IS NULL"), "an alert", 120)
    system.stored |= {
        "alert": alert[0]["id"],
        "failed": system.runs(GOLD)[-1]["run_id"],
        "comparison": system.query("SELECT comparison_id FROM rl_training_comparison")[0]["comparison_id"],
        "arm_comparison": system.query("SELECT comparison_id FROM rl_training_armcomparison")[0]["comparison_id"],
        "validation": system.query("SELECT validation_id FROM rl_training_validation")[0]["validation_id"],
        "version": system.query("SELECT MAX(version.number) AS number" + OF_VERSIONS, FINISHED)[0]["number"],
    }
    trigger(system, RUNNING, LONG_RUN_EPISODES)
    wait_for(lambda: system.runs(RUNNING)[-1]["episodes_done"] > BEGIN_AFTER_EPISODES, "the long run's episodes", 900)
    decisions = "SELECT COUNT(*) AS number FROM rl_training_decision"
    wait_for(lambda: system.query(decisions)[0]["number"] >= DECISIONS, "decisions", 300)


@contextlib.contextmanager
def growing_market(system: Site) -> Iterator[None]:
    """Let the market of DECIDED grow within the block."""
    with (system.folder / "replay.log").open("w") as console:
        process = subprocess.Popen(
            [sys.executable, *REPLAY],
            cwd=BASE_DIR,
            env=os.environ | system.environment,
            stdout=console,
            stderr=console,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


OF_VERSIONS = (
    " FROM rl_training_policyversion version JOIN rl_training_policystore policy ON policy.id = version.policy_id"
    " WHERE policy.name = ?"
)


def active(system: Site) -> list[dict[str, object]]:
    return system.query("SELECT id FROM rl_training_trainingrun WHERE status IN ('queued', 'running')")


def trigger(system: Site, policy: str, episodes: int) -> None:
    """Queue a run over the API."""
    request = urllib.request.Request(
        f"{system.url}/api/v1/runs/",
        json.dumps({"policy": policy, "episodes": episodes}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Token {system.stored['token']}"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201
