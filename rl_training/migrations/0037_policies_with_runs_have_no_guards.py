from django.db import migrations


def keep(apps, schema_editor):
    """Let no guard act in policies that have runs, as before; a user may choose a fallback."""
    policies = apps.get_model("rl_training", "PolicyStore").objects
    runs = apps.get_model("rl_training", "TrainingRun").objects.values("policy")
    ids = list(policies.filter(pk__in=runs).values_list("pk", flat=True))
    policies.filter(pk__in=ids).update(fallback="none")
    apps.get_model("rl_training", "HistoricalPolicyStore").objects.filter(id__in=ids).update(fallback="none")


class Migration(migrations.Migration):
    # Apart from 0036: PostgreSQL changes no table in a transaction that has written rows that refer to it.
    dependencies = [("rl_training", "0036_guards")]

    operations = [migrations.RunPython(keep, migrations.RunPython.noop)]
