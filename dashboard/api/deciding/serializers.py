"""Serializers of decisions and paper accounts."""

from rest_framework import serializers

from rl_training.models import Arm


class Decision(serializers.Serializer):  # type: ignore[type-arg]
    """The target position that an arm of a policy chose at the close of a bar."""

    decision_id = serializers.UUIDField()
    policy = serializers.CharField()
    arm = serializers.ChoiceField(choices=Arm.Kind.values, help_text="What decided: `live` is the live version.")
    version = serializers.IntegerField(allow_null=True, help_text="Null if nothing was live or a rule decided.")
    weights_sha256 = serializers.CharField(help_text="Digest of the version's weights; empty for a rule.")
    trained_until = serializers.DateTimeField(allow_null=True, help_text="The last bar of the version's training.")
    deployment = serializers.IntegerField(allow_null=True, help_text="The deployment that made the version live.")
    bar_opened_at = serializers.DateTimeField()
    bar_closed_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField()
    valid_until = serializers.DateTimeField(help_text="Do not use the decision after this time.")
    target_position = serializers.FloatField(help_text="As a fraction of equity; traded at the next bar's open.")
    previous_target = serializers.FloatField(help_text="The target that the account last traded to.")
    probabilities = serializers.ListField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="The probability of each position of the environment.",
    )
    value = serializers.FloatField(allow_null=True, help_text="The critic's value of the observation.")
    equity = serializers.FloatField(
        help_text="Of the paper account at the close of the bar; 1 at the opening of the account."
    )
    observation_sha256 = serializers.CharField(help_text="Digest of the observation as float32.")
    bars_digest = serializers.CharField(help_text="Digest of the bars that the decision saw.")
    note = serializers.CharField(help_text="What happened since the previous decision; empty if nothing.")


class CurrentDecision(Decision):
    """The decision in force."""

    bar_age_seconds = serializers.FloatField(help_text="Seconds since the close of the bar.")


class AskedDecision(serializers.Serializer):  # type: ignore[type-arg]
    """The decision of the live version for the account of a caller."""

    policy = serializers.CharField()
    version = serializers.IntegerField()
    weights_sha256 = serializers.CharField()
    bar_opened_at = serializers.DateTimeField()
    bar_closed_at = serializers.DateTimeField()
    valid_until = serializers.DateTimeField()
    target_position = serializers.FloatField()
    probabilities = serializers.ListField(child=serializers.FloatField())
    value = serializers.FloatField()
    observation_sha256 = serializers.CharField()


class Account(serializers.Serializer):  # type: ignore[type-arg]
    """A paper account of a policy. Its values are those at the close of its newest bar, null before the first bar."""

    account = serializers.IntegerField(help_text="The number of the account.")
    arm = serializers.ChoiceField(choices=Arm.Kind.values)
    name = serializers.CharField(
        help_text="The name of the arm in requests, such as `live`, `newest:rl_v3` and `rl_v3:12`."
    )
    market = serializers.CharField()
    opened_at = serializers.DateTimeField()
    opening = serializers.CharField(help_text="Why the account was opened.")
    ended_at = serializers.DateTimeField(allow_null=True, help_text="Null while the account is open.")
    ending = serializers.CharField(help_text="Why the account ended.")
    error = serializers.CharField(help_text="Why the last decision failed; empty if it did not.")
    bar_closed_at = serializers.DateTimeField(allow_null=True)
    equity = serializers.FloatField(allow_null=True, help_text="In multiples of the initial equity.")
    total_return = serializers.FloatField(allow_null=True)
    drawdown = serializers.FloatField(allow_null=True, help_text="1 - equity / the highest equity so far.")
    target_position = serializers.FloatField(allow_null=True)


class Accounts(serializers.Serializer):  # type: ignore[type-arg]
    results = Account(many=True)
