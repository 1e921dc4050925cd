"""The form of a policy: the settings that its weights depend on. Needs no torch, unlike the weights."""

from collections.abc import Mapping
from typing import Any

from rl_training.core.config import EnvironmentConfig, PPOConfig


def form_of(environment: EnvironmentConfig, ppo: PPOConfig) -> dict[str, Any]:
    """Return the form of a policy that is trained with these settings, by the name of the setting."""
    return {
        "features": list(environment.features),
        "positions": list(environment.positions),
        "hidden_sizes": list(ppo.hidden_sizes),
        "normalize_observations": ppo.normalize_observations,
        "normalize_rewards": ppo.normalize_rewards,
    }


def differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings in which two forms differ. Weights of one form cannot be used in another."""
    return [name for name in now if was[name] != now[name]]
