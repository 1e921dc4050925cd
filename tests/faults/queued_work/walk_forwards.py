"""A walk-forward of small folds in a real system, and its outcome without any fault."""

import hashlib
import json
from typing import Any

from rl_training.core.config import TrainingConfig
from rl_training.core.market.sources import load_market
from rl_training.core.run.walk_forward.fold_training import fold_policy, train_fold
from rl_training.core.run.walk_forward.folds import plan_folds
from rl_training.core.run.walk_forward.stitching import stitch
from rl_training.validation.accounts import Accounts, as_bytes
from tests.faults.system import ENVIRONMENT, PPO, RECOVERY_SECONDS, Row, System
from tests.waiting import wait_for

FOLDS = 3
ITERATIONS = 80  # in a fold
EPISODES = 20


def start_validation(system: System) -> None:
    """Request a walk-forward of a policy that the schedule leaves alone."""
    system.execute(
        "UPDATE rl_training_policystore SET episodes_per_run = %s, seeds = %s, environment = %s, ppo = %s",
        EPISODES,
        1,
        json.dumps(ENVIRONMENT),
        json.dumps(PPO),
    )
    system.manage("walk_forward", "rl_v3", "--folds", str(FOLDS), "--seed", "5")


def validation(system: System) -> Row:
    [row] = system.query("SELECT * FROM rl_training_validation")
    return row


def folds_of(system: System) -> list[Row]:
    return system.query("SELECT * FROM rl_training_validationstep WHERE kind = 'fold' ORDER BY number")


def wait_for_attempt(system: System, attempts: int, kind: str = "fold") -> None:
    """Wait until a worker has claimed a step of this kind for the `attempts`-th time."""

    def reached() -> bool:
        rows = system.query("SELECT attempt FROM rl_training_validationstep WHERE kind = %s", kind)
        return any(row["attempt"] >= attempts for row in rows)

    wait_for(reached, f"attempt {attempts} of {kind}", 2 * RECOVERY_SECONDS)


def check_validation_ends_undisturbed(system: System, seconds: float = 2 * RECOVERY_SECONDS) -> None:
    """Check that the validation succeeds as one trial, with the folds, weights and accounts of an undisturbed one."""
    wait_for(lambda: validation(system)["finished_at"], "the end of the validation", seconds)
    row, folds = validation(system), folds_of(system)
    assert (row["status"], row["error"]) == ("succeeded", "")
    assert [fold["number"] for fold in folds] == list(range(FOLDS))
    digests, accounts = undisturbed(row["config"])
    assert [fold["sha256"] for fold in folds] == digests
    assert row["accounts_sha256"] == accounts
    assert len(system.query("SELECT * FROM rl_training_trial")) == 1
    assert len(system.query("SELECT * FROM rl_training_validationstep")) == FOLDS + 2
    wait_for(lambda: kinds_of_events(system) == ["completed", "started"], "its events")


def kinds_of_events(system: System) -> list[str]:
    """Return the kinds of the validation's entries on the streams."""
    client: Any = system.redis.client
    streams = (f"rl_v3.validation.{kind}" for kind in ("completed", "started"))
    return [stream.rsplit(".", 1)[1] for stream in streams for _ in client.xrange(stream)]


def undisturbed(config: Any) -> tuple[list[str], str]:
    """Return the digests of the folds' weights and of the accounts to which the config leads without any fault."""
    recipe = TrainingConfig.model_validate(json.loads(config) if isinstance(config, str) else config)
    market = load_market(recipe.market)
    folds = plan_folds(len(market), recipe.environment, folds=FOLDS)
    results = [train_fold(recipe, market, fold) for fold in folds]
    trained = [fold_policy(fold, result) for fold, result in zip(folds, results, strict=True)]
    accounts = Accounts.of(stitch(market, recipe.environment, trained))
    return [result.weights_digest for result in results], hashlib.sha256(as_bytes(accounts)).hexdigest()
