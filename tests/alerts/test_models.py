"""The tables of alerts: default rules, constraints, and the encryption of channels' URLs."""

from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from rl_training.alerts import encryption
from rl_training.alerts.kinds import Kind
from rl_training.alerts.models import Alert, AlertChannel, AlertDelivery, AlertRule
from rl_training.models import PolicyStore

pytestmark = pytest.mark.django_db

POLICY_RULES = [
    *(
        "bars_revised",
        "comparison_ended",
        "decisions_old",
        "demoted",
        "duration",
        "live_changed",
        "live_version_old",
        "market_data",
    ),
    *("never_trades", "nothing_live", "overdue", "overfits", "reward"),
    *("run_failed", "same_position", "success_rate", "validation_ended", "validation_failed", "version_held_back"),
    *("worse_than_flat", "worse_than_holding"),
]


def test_new_policy_gets_a_rule_of_each_kind():
    policy = PolicyStore.objects.create(name="other")
    assert sorted(policy.alert_rules.values_list("kind", flat=True)) == POLICY_RULES
    policy.save_settings()
    assert policy.alert_rules.count() == 21


def test_rule_has_at_most_one_open_alert(policy):
    rule = AlertRule.objects.get_or_create(policy=policy, kind=Kind.OVERDUE)[0]
    first = Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message="late")
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message="late")
    first.resolved_at = first.opened_at
    first.save()
    Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message="late")
    assert [alert.state for alert in policy.alerts.order_by("-opened_at")] == ["open", "resolved"]


@pytest.mark.parametrize(("kind", "of_policy"), [("overdue", False), ("beat_silent", True), ("nothing", True)])
def test_rule_whose_kind_does_not_fit_its_policy_is_refused(kind, of_policy, policy):
    AlertRule.objects.all().delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        AlertRule.objects.create(kind=kind, policy=policy if of_policy else None)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"kind": "success_rate", "threshold": 1.5}, "threshold: 1.5 is not the share that must succeed: 0.01 to 1"),
        ({"kind": "success_rate", "window": 1}, "window: 1 is not the number of runs: 2 to 500, 20 when empty"),
        ({"kind": "run_failed", "window": 3}, "window: A rule of this kind has no window: leave it empty."),
        ({"kind": "success_rate", "threshold": float("nan")}, "threshold: nan is not the share"),
    ],
)
def test_parameter_out_of_range_is_refused_by_name(parameters, says, policy):
    AlertRule.objects.all().delete()
    with pytest.raises(ValidationError) as refused:
        AlertRule(policy=policy, **parameters).full_clean()
    [(name, [message])] = refused.value.message_dict.items()
    assert f"{name}: {message}".startswith(says)


def test_empty_parameter_is_the_default():
    assert AlertRule(kind=Kind.SUCCESS_RATE).effective_threshold == 0.8
    assert AlertRule(kind=Kind.SUCCESS_RATE, threshold=0.5).effective_threshold == 0.5
    assert AlertRule(kind=Kind.DURATION).effective_window == 50


def test_database_holds_channel_url_only_encrypted(settings):
    channel = AlertChannel(name="pager")
    channel.address = "json://user:secret@pager.example/token"
    channel.save()
    [stored] = AlertChannel.objects.values()
    assert "secret" not in str(stored)
    assert "token" not in str(stored)
    channel.refresh_from_db()
    assert channel.address == "json://user:secret@pager.example/token"
    assert channel.masked_address == "json://..."
    settings.SECRET_KEY = "another"
    with pytest.raises(encryption.UnreadableError):
        _ = channel.address
    assert channel.masked_address == "the address was stored with another SECRET_KEY: enter the address again"


def test_migration_gives_rules_about_results_to_existing_policies():
    migration = import_module("rl_training.alerts.migrations.0005_rules_about_results")
    policy = PolicyStore.objects.create(name="other")
    policy.alert_rules.filter(kind__in=migration.KINDS).exclude(kind=Kind.OVERFITS).delete()
    migration.create(apps, None)
    assert sorted(policy.alert_rules.values_list("kind", flat=True)) == POLICY_RULES
    rule = policy.alert_rules.get(kind=Kind.OVERFITS)
    message = Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message="memorised").messages.create(
        channel=AlertChannel.objects.create(name="pager"), event="opened"
    )
    message.deliveries.create(recipient="a")
    migration.remove(apps, connection.schema_editor())
    assert (Alert.objects.count(), AlertDelivery.objects.count()) == (0, 0)
    assert sorted(policy.alert_rules.values_list("kind", flat=True)) == sorted({*POLICY_RULES} - {*migration.KINDS})


def test_severity_is_warning_for_quality_and_critical_for_failure():
    warnings = {kind for kind in Kind if Alert(kind=kind).severity == "warning"}
    results = {"worse_than_flat", "worse_than_holding", "never_trades", "same_position", "overfits"}
    deployments = {"nothing_live", "live_version_old", "version_held_back"}
    validations = {"validation_ended", "validation_failed", "bars_revised"}
    assert warnings == results | deployments | validations | {"duration", "reward", "market_data"}
    assert [kind for kind in Kind if Alert(kind=kind).severity == "info"] == ["live_changed", "comparison_ended"]
