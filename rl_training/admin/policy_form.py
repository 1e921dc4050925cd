"""The form with which the admin edits a policy."""

from copy import copy
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from rl_training.admin.config_field import ConfigField, MarketWidget
from rl_training.core.config import SECTIONS, EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_values import is_own
from rl_training.market_files import offered_columns
from rl_training.models import CHOICES, RANGES, PolicyStore
from rl_training.models.config_column import as_json
from rl_training.policy_edits import PolicyForm
from rl_training.runs.next_start import next_start
from rl_training.strict_json import parse_object
from rl_training.validation import gate


class PolicyStoreForm(PolicyForm):
    """All settings of a policy."""

    market = ConfigField(MarketConfig, MarketWidget)
    environment = ConfigField(EnvironmentConfig)
    ppo = ConfigField(PPOConfig)

    # Shown when an edit means that the next run does not use the learned weights.
    from_scratch = forms.BooleanField(
        required=False, widget=forms.HiddenInput, label="Save, and let the next run start from scratch"
    )

    # Shown when an edit of the recipe makes its validation expire.
    expires = forms.BooleanField(
        required=False, widget=forms.HiddenInput, label="Save, and let the validation of the recipe expire"
    )

    class Meta(PolicyForm.Meta):
        fields = PolicyStore.SETTINGS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "environment" in self.fields:
            environments = self.initial.get("environment"), self.data.get(self.add_prefix("environment"))
            chosen = [name for environment in environments for name in _own_features(environment)]
            widget: Any = self.fields["environment"].widget
            widget.offer("features", [*offered_columns(self.initial.get("market")), *chosen])

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk and not self.errors:
            planned = copy(self.instance)
            for name in (*RANGES, *CHOICES, *SECTIONS):
                setattr(planned, name, cleaned.get(name, getattr(planned, name)))
            self._require_consent("from_scratch", self._start_from_scratch(planned))
            self._require_consent("expires", self._expiry(planned))
        return cleaned

    def _require_consent(self, name: str, consequence: str) -> None:
        """Refuse an edit that has this consequence until the user ticks the checkbox `name`."""
        if consequence and not self.cleaned_data.get(name):
            self.fields[name].widget = forms.CheckboxInput()
            self.add_error(name, consequence)

    def _start_from_scratch(self, planned: PolicyStore) -> str:
        before, after = next_start(self.instance), next_start(planned)
        is_new = after and after.reasons and not (before and before.reasons == after.reasons)
        return str(after) if is_new else ""

    def _expiry(self, planned: PolicyStore) -> str:
        expiring = gate.expiring(gate.recipe_of(self.instance), planned)
        return gate.expiry(expiring) if expiring else ""


def _own_features(environment: Any) -> list[str]:
    """Return the features of an environment, or of its JSON, that are columns of a market's file."""
    try:
        given = parse_object(environment) if isinstance(environment, str) else as_json(environment)
    except ValidationError:
        return []
    features = given.get("features") if isinstance(given, dict) else None
    return [name for name in features if isinstance(name, str) and is_own(name)] if isinstance(features, list) else []
