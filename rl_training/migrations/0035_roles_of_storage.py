from django.db import migrations

from rl_training import roles


def grant(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("rl_training", "0034_storage_readings")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
