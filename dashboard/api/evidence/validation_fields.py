"""Serializers of validations, of the standing of a policy's recipe, and of the ledger of trials."""

from rest_framework import serializers

from dashboard.api.protocol.fields import StoredObject
from rl_training.models import Trial as TrialRow
from rl_training.models import Validation as ValidationRow
from rl_training.models import ValidationStep
from rl_training.validation import gate

COLUMNS = (
    "validation_id",
    "policy__name",
    "market",
    "status",
    "trial__number",
    "trial__level",
    "monitored__validation_id",
    "verdict",
    "recipe",
    "folds",
    "window",
    "requested_by__username",
    "requested_at",
    "started_at",
    "finished_at",
    "bars",
    "first_traded_at",
    "bars_last",
    "ended_at",
    "ended_because",
    "error",
)


class Validation(serializers.Serializer):  # type: ignore[type-arg]
    """A walk-forward of a policy's recipe, without its result."""

    validation_id = serializers.CharField(help_text="12 hexadecimal digits.")
    policy = serializers.CharField(source="policy__name", help_text="The policy's name.")
    market = serializers.CharField(help_text="The market's label.")
    status = serializers.ChoiceField(choices=ValidationRow.Status.values)
    trial = serializers.IntegerField(
        source="trial__number", allow_null=True, help_text="The trial's number on the market; null without a trial."
    )
    level = serializers.FloatField(
        source="trial__level", allow_null=True, help_text="The part of PROMOTION_ALPHA that the trial may spend."
    )
    monitors = serializers.CharField(
        source="monitored__validation_id",
        allow_null=True,
        help_text="The validation that this walk-forward monitors; null for a trial.",
    )
    verdict = serializers.ChoiceField(
        choices=["", *ValidationRow.Verdict.values], help_text="The verdict of a trial; empty before its end."
    )
    recipe = serializers.CharField(help_text="SHA-256 of the recipe.")
    folds = serializers.IntegerField()
    window = serializers.IntegerField(
        allow_null=True, help_text="Bars that each fold trains on; null for all bars before the fold."
    )
    requested_by = serializers.CharField(
        source="requested_by__username",
        allow_null=True,
        help_text="The user who requested the validation; null for a command, beat and a deleted user.",
    )
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    bars = serializers.IntegerField(allow_null=True, help_text="Number of bars of the market.")
    first_traded_at = serializers.DateTimeField(allow_null=True, help_text="The first bar that is traded.")
    bars_last = serializers.DateTimeField(allow_null=True, help_text="The last bar.")
    ended_at = serializers.DateTimeField(allow_null=True, help_text="When monitoring ended the validation.")
    ended_because = serializers.CharField()
    error = serializers.CharField(help_text="Empty unless the validation failed or was cancelled.")


class Fold(serializers.Serializer):  # type: ignore[type-arg]
    """A fold: its training, and the metrics of the account on its bars, which are null before the result."""

    number = serializers.IntegerField(help_text="From 1.")
    status = serializers.ChoiceField(choices=ValidationStep.Status.values)
    progress = serializers.FloatField(help_text="Share of the training that is done, 0 to 1.")
    first_traded_at = serializers.CharField()
    last_traded_at = serializers.CharField()
    seconds = serializers.FloatField(allow_null=True, help_text="Duration of the training.")
    sha256 = serializers.CharField(allow_null=True, help_text="SHA-256 of the weights.")
    total_return = serializers.FloatField(allow_null=True)
    sharpe = serializers.FloatField(allow_null=True)
    max_drawdown = serializers.FloatField(allow_null=True)
    turnover = serializers.FloatField(allow_null=True)
    time_in_market = serializers.FloatField(allow_null=True)
    costs_paid = serializers.FloatField(allow_null=True)


class ValidationDetail(Validation):
    """A validation with its folds and its result."""

    answer = serializers.CharField(help_text="The outcome in a sentence.")
    in_force = serializers.BooleanField(
        help_text="Whether versions of the recipe can pass the gate by this validation."
    )
    must_beat = serializers.ListField(child=serializers.CharField(), help_text="References to beat.")
    judgement = StoredObject(allow_null=True, help_text="The numbers from which the verdict follows.")
    config = StoredObject(help_text="The recipe: market, environment, ppo, episodes, seeds and seed.")
    start_from = serializers.CharField(help_text="The start rule.")
    trained = Fold(many=True, help_text="The folds in their order.")
    result = StoredObject(allow_null=True, help_text="Metrics, tests and equity curves of all accounts.")


class Budget(serializers.Serializer):  # type: ignore[type-arg]
    """The trials of all policies on a market."""

    trials = serializers.IntegerField(help_text="Number of trials so far.")
    recipes = serializers.IntegerField(help_text="Number of different recipes that were tried.")
    spent = serializers.FloatField(help_text="The part of PROMOTION_ALPHA that these trials may spend together.")
    remaining = serializers.FloatField(help_text="What is left of PROMOTION_ALPHA.")
    next_level = serializers.FloatField(help_text="The part of PROMOTION_ALPHA that the next trial may spend.")


class Standing(serializers.Serializer):  # type: ignore[type-arg]
    """The standing of a policy's present recipe."""

    policy = serializers.CharField()
    recipe = serializers.CharField(help_text="SHA-256 of the recipe; empty while the settings are invalid.")
    state = serializers.ChoiceField(choices=[state.value for state in gate.State])
    validation_id = serializers.CharField(allow_null=True, help_text="The newest trial with a verdict.")
    answer = serializers.CharField(help_text="The outcome of this trial in a sentence; empty without a trial.")
    active = serializers.CharField(
        allow_null=True, help_text="The validation that is under way; null if there is none."
    )
    expired = serializers.CharField(
        allow_null=True,
        help_text="The validation of an earlier recipe of the policy, while the present recipe has no verdict.",
    )
    estimated_seconds = serializers.FloatField(
        allow_null=True, help_text="Estimate for a walk-forward by one training process; null before the first run."
    )
    budget = Budget(allow_null=True)


class Trial(serializers.Serializer):  # type: ignore[type-arg]
    """A trial of the ledger."""

    market = serializers.CharField(source="market__label", help_text="The market's label at its first trial.")
    market_key = serializers.CharField(
        source="market__key", help_text="SHA-256 of the settings that identify the market."
    )
    number = serializers.IntegerField(help_text="From 1, within the market.")
    kind = serializers.ChoiceField(choices=TrialRow.Kind.values)
    recipe = serializers.CharField(help_text="SHA-256 of the recipe.")
    policy = serializers.CharField(source="policy_name", help_text="The policy's name at that time.")
    alpha = serializers.FloatField()
    level = serializers.FloatField(help_text="The part of alpha that the trial may spend.")
    at = serializers.DateTimeField()
    validation_id = serializers.CharField(source="validation__validation_id", allow_null=True)
    status = serializers.CharField(source="validation__status", allow_null=True)
    verdict = serializers.CharField(source="validation__verdict", allow_null=True)
