from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0033_indexes_of_retention"),
    ]

    operations = [
        migrations.CreateModel(
            name="StorageReading",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(unique=True)),
                ("usage", models.JSONField(help_text="Bytes by part; a part that could not be read is missing.")),
                (
                    "disks",
                    models.JSONField(help_text="Total and free bytes of each disk, by the setting of a folder on it."),
                ),
            ],
            options={
                "ordering": ("-at",),
            },
        ),
    ]
