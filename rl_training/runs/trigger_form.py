"""The form in which a user chooses the options of a run, on the pages and in the admin."""

from collections.abc import Iterable
from typing import Any

from django import forms

from rl_training.models import MAX_EPISODES, PolicyStore, StartFrom
from rl_training.runs.next_start import default_start
from rl_training.runs.triggering import LAST_SEED, LAST_VERSION, RunOptions, UnknownVersionError, find_version


def whole_number(minimum: int, maximum: int, **options: Any) -> forms.IntegerField:
    """Return an optional field for a whole number in a range."""
    message = f"A whole number from {minimum:,} to {maximum:,}."
    errors = dict.fromkeys(("min_value", "max_value", "invalid"), message)
    return forms.IntegerField(
        required=False, min_value=minimum, max_value=maximum, error_messages=errors, help_text=message, **options
    )


class RunOptionsForm(forms.Form):
    """The options of the next run of each of `policies`. An empty field leaves the choice to the policy's settings."""

    episodes = whole_number(1, MAX_EPISODES)
    seed = whole_number(0, LAST_SEED)
    initial_version = whole_number(1, LAST_VERSION, label="Starting version")
    from_scratch = forms.BooleanField(required=False, help_text="Start from no version, with random weights.")

    def __init__(self, policies: Iterable[PolicyStore], data: Any = None) -> None:
        super().__init__(data)
        self.policies = list(policies)
        episodes = {policy.episodes_per_run for policy in self.policies}
        default = f"{episodes.pop():,}, as the policy says" if len(episodes) == 1 else "as each policy says"
        self.fields["episodes"].help_text = f"Empty: {default}."
        self.fields["seed"].help_text = "Empty: a random seed. The same seed, bars and start make the same weights."
        self.fields["initial_version"].help_text = f"Empty: {self._default_start()}."

    def _default_start(self) -> str:
        if len(self.policies) != 1:
            return "what the start_from of each policy says"
        policy = self.policies[0]
        if policy.start_from == StartFrom.SCRATCH:
            return "from scratch, as the policy says"
        version = default_start(policy)
        if version is None:
            return f"from scratch, as there is no {policy.start_from} version yet"
        return f"the {policy.start_from} version, version {version.number}"

    def clean_initial_version(self) -> int | None:
        number: int | None = self.cleaned_data["initial_version"]
        try:
            for policy in self.policies:
                find_version(policy, number)
        except UnknownVersionError as error:
            raise forms.ValidationError(str(error)) from None
        return number

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("from_scratch") and self["initial_version"].value():
            self.add_error("from_scratch", "A run from scratch has no starting version: leave one of the two empty.")
        return cleaned

    def options(self) -> RunOptions:
        """Return the options of a valid form."""
        return RunOptions(**self.cleaned_data)
