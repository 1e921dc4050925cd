from django.db import migrations

from rl_training import roles


def grant(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    # Without alerts.0001, which depends on 0003: the squashed migrations of both would be a circle.
    dependencies = [("rl_training", "0005_idempotency_keys_and_list_indexes")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
