from django.db import migrations

from rl_training import roles


def create(apps, schema_editor):
    account, user = apps.get_model("accounts", "Account"), apps.get_model("auth", "User")
    rows = (account(user_id=pk) for pk in user.objects.values_list("pk", flat=True))
    account.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
    roles.grant(apps)


class Migration(migrations.Migration):
    # The groups of the roles exist from this migration on.
    dependencies = [("accounts", "0001_initial"), ("rl_training", "0027_decision_enabled")]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
