from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0039_fewer_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="followedmarket",
            name="columns",
            field=models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text="Names of the file's further columns that the bars have, in order.",
            ),
        ),
        migrations.AddField(
            model_name="marketbar",
            name="own",
            field=models.BinaryField(
                blank=True,
                help_text="Values of the market's further columns as little-endian float64; null if there are none.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="validation",
            name="prices_digest",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Digest of the bars without further columns; empty if the bars have none.",
                max_length=64,
            ),
        ),
    ]
