from django.db import migrations

from rl_training import roles


def grant(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    # Apart from 0018: PostgreSQL changes no table in a transaction that has written rows that refer to it.
    dependencies = [("rl_training", "0018_deployment_events_and_proposals")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
