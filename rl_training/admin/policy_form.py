"""The form by which the admin edits a policy."""

from copy import copy
from typing import Any

from django import forms

from rl_training.admin.config_field import ConfigField, MarketWidget
from rl_training.core.config import SECTIONS, EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore
from rl_training.policy_edits import PolicyForm
from rl_training.runs.next_start import next_start


class PolicyStoreForm(PolicyForm):
    """All settings of a policy."""

    market = ConfigField(MarketConfig, MarketWidget)
    environment = ConfigField(EnvironmentConfig)
    ppo = ConfigField(PPOConfig)

    # Shown once an edit means that the next run does not use the learned weights.
    from_scratch = forms.BooleanField(
        required=False, widget=forms.HiddenInput, label="Save, and let the next run start from scratch"
    )

    class Meta(PolicyForm.Meta):
        fields = PolicyStore.SETTINGS

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk and not self.errors and not cleaned.get("from_scratch"):
            planned = copy(self.instance)
            for name in ("start_from", *SECTIONS):
                setattr(planned, name, cleaned[name])
            before, after = next_start(self.instance), next_start(planned)
            if after and after.reasons and not (before and before.reasons == after.reasons):
                self.fields["from_scratch"].widget = forms.CheckboxInput()
                self.add_error("from_scratch", str(after))
        return cleaned
