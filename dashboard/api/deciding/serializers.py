"""Decisions and paper accounts as the API answers them."""

from rest_framework import serializers

from rl_training.models import Arm


class Decision(serializers.Serializer):  # type: ignore[type-arg]
    """The target position that an arm of a policy chose at the close of a bar."""

    decision_id = serializers.UUIDField()
    policy = serializers.CharField()
    arm = serializers.ChoiceField(choices=Arm.Kind.values, help_text="What decided: `live` is the live version.")
    version = serializers.IntegerField(allow_null=True, help_text="Null: nothing was live, or a rule decided.")
    weights_sha256 = serializers.CharField(help_text="Digest of its weights; empty for a rule.")
    trained_until = serializers.DateTimeField(allow_null=True, help_text="The last bar of its training.")
    deployment = serializers.IntegerField(allow_null=True, help_text="The deployment that made the version live.")
    bar_opened_at = serializers.DateTimeField()
    bar_closed_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField()
    valid_until = serializers.DateTimeField(help_text="Do not use the decision after this time.")
    target_position = serializers.FloatField(help_text="As a fraction of equity; traded at the next bar's open.")
    previous_target = serializers.FloatField(help_text="The target that the account last traded to.")
    probabilities = serializers.ListField(
        child=serializers.FloatField(), allow_null=True, help_text="Of each position of the environment."
    )
    value = serializers.FloatField(allow_null=True, help_text="The critic's value of the observation.")
    equity = serializers.FloatField(help_text="Of the paper account at the close of the bar; 1 at its opening.")
    observation_sha256 = serializers.CharField(help_text="Digest of the observation as float32.")
    bars_digest = serializers.CharField(help_text="Digest of the bars that the decision saw.")
    note = serializers.CharField(help_text="What happened since the decision before; empty: nothing.")


class CurrentDecision(Decision):
    """The decision in force."""

    bar_age_seconds = serializers.FloatField(help_text="Since the close of the bar.")


class AskedDecision(serializers.Serializer):  # type: ignore[type-arg]
    """What the live version decides for the account of a caller."""

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
    """A paper account of a policy. Values are those at the close of its newest bar; null before the first one."""

    account = serializers.IntegerField(help_text="Its number.")
    arm = serializers.ChoiceField(choices=Arm.Kind.values)
    name = serializers.CharField(help_text="What requests call the arm, as in `live`, `newest:rl_v3` and `rl_v3:12`.")
    market = serializers.CharField()
    opened_at = serializers.DateTimeField()
    opening = serializers.CharField(help_text="Why it was opened.")
    ended_at = serializers.DateTimeField(allow_null=True, help_text="Null: it is open.")
    ending = serializers.CharField(help_text="Why it ended.")
    error = serializers.CharField(help_text="Why it could not decide the last time; empty: it did.")
    bar_closed_at = serializers.DateTimeField(allow_null=True)
    equity = serializers.FloatField(allow_null=True, help_text="In multiples of the initial equity.")
    total_return = serializers.FloatField(allow_null=True)
    drawdown = serializers.FloatField(allow_null=True, help_text="1 - equity / the highest equity so far.")
    target_position = serializers.FloatField(allow_null=True)


class Accounts(serializers.Serializer):  # type: ignore[type-arg]
    results = Account(many=True)
