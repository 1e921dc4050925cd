from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0026_roles_of_decisions"),
    ]

    operations = [
        migrations.AddField(
            model_name="decision",
            name="enabled",
            field=models.BooleanField(default=True, help_text="Whether the policy was enabled, that is trained."),
        ),
    ]
