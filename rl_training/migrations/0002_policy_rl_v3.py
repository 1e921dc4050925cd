from django.db import migrations


def create(apps, schema_editor):
    apps.get_model("rl_training", "PolicyStore").objects.get_or_create(name="rl_v3")


class Migration(migrations.Migration):
    dependencies = [("rl_training", "0001_initial")]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
