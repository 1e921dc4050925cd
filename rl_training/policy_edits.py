"""Edits of a policy's settings, as the admin, the pages, the API and the commands make them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import ConfigProblem
from rl_training.models import CHOICES, RANGES, PolicyStore
from rl_training.models.config_column import as_json
from rl_training.trainable import market_problems

# The type parameter exists for mypy only: Django's class is not generic at run time.
if TYPE_CHECKING:
    PolicyModelForm = forms.ModelForm[PolicyStore]
else:
    PolicyModelForm = forms.ModelForm


def set_enabled(policy: PolicyStore, enabled: bool, user: Any = None) -> bool:
    """Enable or disable the policy's schedule. Return whether this changed anything.

    Writes no other setting, so a later edit than `policy` is kept, and a config that is stored invalid is tolerated.
    `user` is recorded in the history; None: the user of the present request.
    """
    if policy.enabled == enabled:
        return False
    policy.enabled = enabled
    if user is not None:
        policy._history_user = user
    policy.save_settings("enabled")
    return True


def changed_section(policy: PolicyStore, section: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a section with the changes, not validated yet.

    Stored fields that are unknown to the section are left out: they have no effect, and no edit could name them.
    """
    stored = as_json(getattr(policy, section))
    fields = SECTIONS[section].model_fields
    kept = {name: value for name, value in stored.items() if name in fields} if isinstance(stored, dict) else {}
    return kept | dict(changes)


def market_problems_after(policy: PolicyStore, changes: Mapping[str, Mapping[str, Any]]) -> list[ConfigProblem]:
    """Return why no run could train after the changes by section, with paths such as `market.path`.

    `policy` holds the sections before the changes. Refused settings count as defaults, so that all problems are found.
    """
    stored = {section: getattr(policy, section) for section in SECTIONS}
    saved = stored if policy.pk is not None else dict.fromkeys(SECTIONS)
    planned = stored | {
        section: SECTIONS[section].with_defaults(changed_section(policy, section, fields))
        for section, fields in changes.items()
    }
    return market_problems(planned["market"], planned["environment"], saved["market"], saved["environment"])


def _range_errors(field: str) -> dict[str, str]:
    minimum, maximum = RANGES[field]
    message = f"{field}: a whole number from {minimum} to {maximum:,}."
    return dict.fromkeys(("min_value", "max_value", "invalid", "required"), message)


class PolicyForm(PolicyModelForm):
    """Refuses bad values beside their fields, and an edit of a policy that was changed since the form was opened."""

    # The time at which the shown settings were saved. A form that is sent without it is not checked for other edits.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = PolicyStore
        fields: tuple[str, ...] = ("name", "enabled", *RANGES, *CHOICES)
        error_messages = {name: _range_errors(name) for name in RANGES}  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.updated_at and "seen" in self.fields:
            self.fields["seen"].initial = self.instance.updated_at.isoformat()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        seen = self.cleaned_data.get("seen")
        if self.instance.pk and seen:
            # The row is locked until the edit is saved: callers validate and save in one transaction.
            saved = PolicyStore.objects.select_for_update().filter(pk=self.instance.pk)
            updated_at = saved.values_list("updated_at", flat=True).first()
            if updated_at is None:
                raise ValidationError("This policy was deleted meanwhile.")
            if updated_at.isoformat() != seen:
                raise ValidationError(
                    f"This policy was changed at {updated_at:%Y-%m-%d %H:%M:%S} UTC, after this form was opened. "
                    "Nothing was saved; open the form again to edit the present settings."
                )
        if "market" in self.fields:
            self._check_market()
        return cleaned

    def _check_market(self) -> None:
        """Add an error for each reason why no run could train on a changed market, or with a changed environment."""
        saved = PolicyStore.objects.filter(pk=self.instance.pk).first() if self.instance.pk else None
        fields: Any = self.fields
        # Refused settings are replaced by defaults, so that all problems of the market are shown at once.
        market, environment = (self.cleaned_data.get(name, fields[name].read) for name in ("market", "environment"))
        before = (saved.market, saved.environment) if saved else (None, None)
        for found in market_problems(market, environment, *before):
            section, path = found.path.split(".", 1)
            problem = ConfigProblem(path, found.message)
            self.add_error(section, str(problem))
            fields[section].show_beside_fields([problem])
