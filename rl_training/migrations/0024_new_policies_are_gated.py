from django.db import migrations

from rl_training import roles


def gate(apps, schema_editor):
    """Let the gate promote the versions of policies that have no run yet, as of new ones, and complete the roles."""
    policies = apps.get_model("rl_training", "PolicyStore").objects
    runs = apps.get_model("rl_training", "TrainingRun").objects.values("policy")
    ids = list(policies.exclude(pk__in=runs).filter(promotion="manual").values_list("pk", flat=True))
    policies.filter(pk__in=ids).update(promotion="validated")
    apps.get_model("rl_training", "HistoricalPolicyStore").objects.filter(id__in=ids).update(promotion="validated")
    roles.grant(apps)


class Migration(migrations.Migration):
    # Apart from 0023: PostgreSQL changes no table in a transaction that has written rows that refer to it.
    dependencies = [("rl_training", "0023_validations")]

    operations = [migrations.RunPython(gate, migrations.RunPython.noop)]
