from django.db import migrations

OF_POLICY = ("run_failed", "success_rate", "duration", "reward", "overdue")
OF_SYSTEM = ("beat_silent", "workers_silent", "outbox_lag")


def create(apps, schema_editor):
    rule, policies = apps.get_model("alerts", "AlertRule"), apps.get_model("rl_training", "PolicyStore")
    rules = [rule(kind=kind) for kind in OF_SYSTEM]
    # Only the ids are read, so that a policy with an invalid config gets its rules too.
    rules += [
        rule(policy_id=pk, kind=kind) for pk in policies.objects.values_list("pk", flat=True) for kind in OF_POLICY
    ]
    rule.objects.bulk_create(rules, batch_size=1000, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_initial")]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
