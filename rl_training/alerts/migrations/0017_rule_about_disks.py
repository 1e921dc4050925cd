from importlib import import_module

from django.db import migrations

KIND = "disk_full"


def create(apps, schema_editor):
    apps.get_model("alerts", "AlertRule").objects.get_or_create(policy=None, kind=KIND)


def remove(apps, schema_editor):
    # The constraint of the earlier schema does not allow this kind.
    removals = import_module("rl_training.alerts.migrations.0005_rules_about_results").REMOVALS
    with schema_editor.connection.cursor() as cursor:
        for statement in removals:
            cursor.execute(statement, [KIND])


class Migration(migrations.Migration):
    # Apart from 0016: PostgreSQL changes no table in a transaction that has deleted rows other tables refer to.
    dependencies = [("alerts", "0016_kind_about_disks")]

    operations = [migrations.RunPython(create, remove)]
