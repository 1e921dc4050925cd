import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0021_weights_removed_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="comparison",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The comparison that is the evidence for it; none: there is none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.comparison",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="comparison",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The comparison that is the evidence for it; none: there is none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.comparison",
            ),
        ),
    ]
