from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0040_further_columns"),
    ]

    operations = [
        migrations.AlterField(
            model_name="marketbar",
            name="volume",
            field=models.FloatField(blank=True, help_text="Null if the source has no volume.", null=True),
        ),
    ]
