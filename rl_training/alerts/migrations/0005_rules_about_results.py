from django.db import migrations

KINDS = ("worse_than_flat", "worse_than_holding", "never_trades", "same_position", "overfits")
REMOVALS = (
    """DELETE FROM alerts_alertdelivery WHERE message_id IN (
        SELECT id FROM alerts_alertmessage WHERE alert_id IN (SELECT id FROM alerts_alert WHERE kind = %s))""",
    "DELETE FROM alerts_alertmessage WHERE alert_id IN (SELECT id FROM alerts_alert WHERE kind = %s)",
    "DELETE FROM alerts_alert WHERE kind = %s",
    "DELETE FROM alerts_alertrule_channels WHERE alertrule_id IN (SELECT id FROM alerts_alertrule WHERE kind = %s)",
    "DELETE FROM alerts_alertrule WHERE kind = %s",
)


def create(apps, schema_editor):
    rule, policies = apps.get_model("alerts", "AlertRule"), apps.get_model("rl_training", "PolicyStore")
    rules = [rule(policy_id=pk, kind=kind) for pk in policies.objects.values_list("pk", flat=True) for kind in KINDS]
    rule.objects.bulk_create(rules, batch_size=1000, ignore_conflicts=True)


def remove(apps, schema_editor):
    # The constraint of the earlier schema does not allow these kinds. Their alerts and messages go with them, by SQL:
    # the historical models of a reversed migration do not follow the relation from a message to its deliveries.
    with schema_editor.connection.cursor() as cursor:
        for kind in KINDS:
            for statement in REMOVALS:
                cursor.execute(statement, [kind])


class Migration(migrations.Migration):
    # Apart from 0004: PostgreSQL changes no table in a transaction that has deleted rows other tables refer to.
    dependencies = [("alerts", "0004_kinds_about_results")]

    operations = [migrations.RunPython(create, remove)]
