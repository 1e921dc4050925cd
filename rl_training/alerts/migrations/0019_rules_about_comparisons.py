from importlib import import_module

from django.db import migrations

KINDS = ("comparison_ended", "demoted")


def create(apps, schema_editor):
    rule, policies = apps.get_model("alerts", "AlertRule"), apps.get_model("rl_training", "PolicyStore")
    rules = [rule(policy_id=pk, kind=kind) for pk in policies.objects.values_list("pk", flat=True) for kind in KINDS]
    rule.objects.bulk_create(rules, batch_size=1000, ignore_conflicts=True)


def remove(apps, schema_editor):
    # The constraint of the earlier schema does not allow these kinds.
    removals = import_module("rl_training.alerts.migrations.0005_rules_about_results").REMOVALS
    with schema_editor.connection.cursor() as cursor:
        for kind in KINDS:
            for statement in removals:
                cursor.execute(statement, [kind])


class Migration(migrations.Migration):
    # Apart from 0018: PostgreSQL changes no table in a transaction that has deleted rows other tables refer to.
    dependencies = [("alerts", "0018_kinds_about_comparisons")]

    operations = [migrations.RunPython(create, remove)]
