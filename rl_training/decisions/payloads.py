"""A decision for programs: the payload of its event, and of the API's answer."""

from typing import Any

from quantum_trader.timestamps import utc_text
from rl_training.models import Decision


def payload(decision: Decision) -> dict[str, Any]:
    """Return the decision as JSON values. Needs its policy, arm and version."""
    version = decision.version
    return {
        "decision_id": str(decision.decision_id),
        "policy": decision.policy.name,
        "arm": decision.arm.kind,
        "version": version.number if version else None,
        "weights_sha256": decision.weights_sha256,
        "trained_until": utc_text(decision.trained_until) if decision.trained_until else None,
        "deployment": decision.deployment_id,
        "bar_opened_at": utc_text(decision.bar_opened_at),
        "bar_closed_at": utc_text(decision.bar_closed_at),
        "decided_at": utc_text(decision.decided_at),
        "valid_until": utc_text(decision.valid_until),
        "target_position": decision.target_position,
        "previous_target": decision.previous_target,
        "probabilities": decision.probabilities,
        "value": decision.value,
        "equity": decision.equity,
        "observation_sha256": decision.observation_sha256,
        "bars_digest": decision.bars_digest,
        "note": decision.note,
    }
