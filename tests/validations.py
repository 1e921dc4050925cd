"""Rows of validations for tests."""

from typing import Any

from rl_training.models import PolicyStore, Validation, ValidationStep
from rl_training.validation import requesting, steps
from rl_training.validation.requesting import Options

# A planted market with structure, and a recipe that is trained within a second.
SMALL = {
    "seeds": 1,
    "episodes_per_run": 2,
    "market": {"source": "planted", "bars": 800},
    "environment": {"episode_length": 32},
    "ppo": {"num_envs": 8, "rollout_length": 16, "minibatch_size": 64, "hidden_sizes": [8]},
}


def request_validation(policy: PolicyStore, **options: Any) -> Validation:
    """Request a validation of the policy without notifying a worker."""
    return requesting.request(policy, Options(**options), send_message=False)


def store_validation(policy: PolicyStore, *, validation_id: str = "", **options: Any) -> Validation:
    """Request a validation, with this id if one is given, as a trial of the policy's recipe."""
    validation = request_validation(policy, **options)
    if validation_id:
        Validation.objects.filter(pk=validation.pk).update(validation_id=validation_id)
        validation.refresh_from_db()
    return validation


def queued_steps(validation: Validation) -> list[ValidationStep]:
    return list(validation.steps.filter(status="queued").order_by("pk"))


def claim_next(validation: Validation) -> ValidationStep:
    """Claim the validation's next step, as a worker does."""
    claimed = steps.claim(queued_steps(validation)[0].step_id)
    assert claimed is not None
    return claimed
