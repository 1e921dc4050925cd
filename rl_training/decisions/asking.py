"""Decisions of the live version for a caller's account, on the newest decided bar. Nothing is stored."""

import hashlib
import math
from typing import Any

import numpy as np

from quantum_trader.timestamps import utc_text
from rl_training.core.deciding.decision import bars_needed, choose, for_account
from rl_training.core.market.bars import MarketDataError
from rl_training.decisions import bars
from rl_training.decisions.answers import Clock, NoDecisionError, Reason, check_age, current
from rl_training.decisions.asked_account import AskedAccount
from rl_training.decisions.choosing import Seen
from rl_training.decisions.deciding import state_of
from rl_training.decisions.networks import NetworkError, network_of
from rl_training.models import Decision, PolicyStore
from rl_training.versions.live import live_now, sentence


def decide_for(policy: PolicyStore, account: AskedAccount, clock: Clock) -> dict[str, Any]:
    """Return the live version's decision for this account on the newest bar, as JSON values.

    Raises `NoDecisionError` as `current` does, and `NetworkError`.
    """
    newest = current(policy, clock, changed_version=True).decision
    live = live_now(policy.pk)
    if live is None or live.version is None:
        raise NoDecisionError(Reason.NO_LIVE_VERSION, sentence(live))
    network = network_of(live.version)
    observation = np.frombuffer(bytes(newest.observation), "<f4").astype(np.float32)
    if newest.version_id != live.version_id or not len(observation):
        observation = _observation(newest, network)
    values = account.position, account.unrealised_log_return, account.drawdown
    choice = for_account(network, observation, *values)
    if not all(map(math.isfinite, (*choice.probabilities, choice.value))):
        raise NetworkError(f"version {live.version.number} gives a probability or a value that is not finite")
    check_age(newest, clock())
    return {
        "policy": policy.name,
        "version": live.version.number,
        "weights_sha256": network.digest,
        "bar_opened_at": utc_text(newest.bar_opened_at),
        "bar_closed_at": utc_text(newest.bar_closed_at),
        "valid_until": utc_text(newest.valid_until),
        "target_position": choice.target,
        "probabilities": list(choice.probabilities),
        "value": choice.value,
        "observation_sha256": hashlib.sha256(choice.observation.astype("<f4").tobytes()).hexdigest(),
    }


def _observation(newest: Decision, network: Any) -> Any:
    """Return the observation of another version's network on the bar of the newest decision."""
    seen = Seen(newest.bar.market, bars.rows_up_to(newest.bar.market_id, newest.bar_opened_at))
    market, _ = seen.by(newest.bar).last(bars_needed(network.environment))
    try:
        return choose(network, market, state_of(newest)).observation
    except MarketDataError as error:
        raise NetworkError(str(error)) from error
