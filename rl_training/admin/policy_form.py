"""The form that edits a policy."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from rl_training.admin.config_field import ConfigField, repaired
from rl_training.core.config import SECTIONS, EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import (
    MAX_EPISODES,
    MAX_INTERVAL_MINUTES,
    MAX_RUN_MINUTES,
    MAX_STALL_MINUTES,
    PolicyStore,
)

if TYPE_CHECKING:
    PolicyModelForm = forms.ModelForm[PolicyStore]
else:
    PolicyModelForm = forms.ModelForm


def _range_errors(field: str, maximum: int) -> dict[str, str]:
    message = f"{field}: a whole number from 1 to {maximum:,}."
    return dict.fromkeys(("min_value", "max_value", "invalid", "required"), message)


class PolicyStoreForm(PolicyModelForm):
    """Refuses bad values beside their fields, and an edit of a policy that was changed since the form was opened."""

    market = ConfigField(MarketConfig)
    environment = ConfigField(EnvironmentConfig)
    ppo = ConfigField(PPOConfig)
    # When the settings shown were saved. A form sent without it is taken as it is.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = PolicyStore
        fields = PolicyStore.SETTINGS
        error_messages = {  # noqa: RUF012
            "interval_minutes": _range_errors("interval_minutes", MAX_INTERVAL_MINUTES),
            "episodes_per_run": _range_errors("episodes_per_run", MAX_EPISODES),
            "stall_limit_minutes": _range_errors("stall_limit_minutes", MAX_STALL_MINUTES),
            "run_limit_minutes": _range_errors("run_limit_minutes", MAX_RUN_MINUTES),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.updated_at and "seen" in self.fields:
            self.fields["seen"].initial = self.instance.updated_at.isoformat()
        if not self.is_bound:
            for name, found in getattr(self.instance, "stored_problems", {}).items():
                field = self.fields.get(name)
                if isinstance(field, ConfigField):
                    field.show_beside_fields(found)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        seen = self.cleaned_data.get("seen")
        if self.instance.pk and seen:
            # Locked until the edit is saved: the admin validates and saves in one transaction.
            saved = PolicyStore.objects.select_for_update().filter(pk=self.instance.pk)
            updated_at = saved.values_list("updated_at", flat=True).first()
            if updated_at is None:
                raise ValidationError("This policy was deleted meanwhile.")
            if updated_at.isoformat() != seen:
                raise ValidationError(
                    f"This policy was changed at {updated_at:%Y-%m-%d %H:%M:%S} UTC, after this form was opened. "
                    "Nothing was saved; open the form again to edit what is set now."
                )
        return cleaned


def load_settings(policy: PolicyStore) -> dict[str, dict[str, str]]:
    """Give `policy`, loaded without its typed columns, valid ones: defaults stand in for what is stored invalid.

    Returns, by column, the problems of what is stored, as `core.config.problems` returns them; empty as a rule.
    """
    stored = PolicyStore.objects.filter(pk=policy.pk).values(*SECTIONS).get()
    found = {}
    for name, config in SECTIONS.items():
        value, refused = repaired(config, stored[name])
        setattr(policy, name, value)
        if refused:
            found[name] = refused
    return found
