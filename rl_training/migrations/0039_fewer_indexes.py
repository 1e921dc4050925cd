import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0038_name_message_and_stall_help"),
    ]

    operations = [
        migrations.AlterField(
            model_name="policyversion",
            name="policy",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="rl_training.policystore",
            ),
        ),
        migrations.AlterField(
            model_name="trainingevent",
            name="run",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="rl_training.trainingrun",
            ),
        ),
        migrations.AlterField(
            model_name="trainingevent",
            name="validation",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="rl_training.validation",
            ),
        ),
        # PostgreSQL keeps this constraint as an index of the same column, which the change of the field would remove.
        migrations.RemoveConstraint(model_name="trainingrun", name="run_one_active_per_policy"),
        migrations.AlterField(
            model_name="trainingrun",
            name="policy",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="runs",
                to="rl_training.policystore",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.UniqueConstraint(
                fields=["policy"],
                condition=models.Q(status__in=["queued", "running"]),
                name="run_one_active_per_policy",
            ),
        ),
    ]
