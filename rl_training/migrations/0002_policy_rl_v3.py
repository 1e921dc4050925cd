from django.db import migrations
from django.utils import timezone


def create(apps, schema_editor):
    policy, created = apps.get_model("rl_training", "PolicyStore").objects.get_or_create(name="rl_v3")
    if created:
        # Signals do not reach a migration: the history begins here, so that the first edit has a value before it.
        settings = ("id", "name", "enabled", "interval_minutes", "episodes_per_run", "market", "environment", "ppo")
        apps.get_model("rl_training", "HistoricalPolicyStore").objects.create(
            **{name: getattr(policy, name) for name in settings}, history_date=timezone.now(), history_type="+"
        )


class Migration(migrations.Migration):
    dependencies = [("rl_training", "0001_initial")]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
