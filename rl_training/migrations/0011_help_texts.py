import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0010_started_from"),
    ]

    operations = [
        migrations.AlterField(
            model_name="historicalpolicystore",
            name="interval_minutes",
            field=models.PositiveIntegerField(
                default=60,
                help_text="Minutes from one scheduled run to the next. 1 to 527,040 (366 days).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(527040),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="historicalpolicystore",
            name="run_limit_minutes",
            field=models.PositiveIntegerField(
                default=1440,
                help_text="A run fails when one of its attempts takes longer than this many minutes. 1 to 44,640 (31 days).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(44640),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="historicalpolicystore",
            name="stall_limit_minutes",
            field=models.PositiveIntegerField(
                default=10,
                help_text="An attempt of a run that makes no iteration for this many minutes is stopped, and the run is queued again. 1 to 1,440 (one day).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1440),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="idempotencykey",
            name="fingerprint",
            field=models.CharField(help_text="SHA-256 of the request's body.", max_length=64),
        ),
        migrations.AlterField(
            model_name="policystore",
            name="interval_minutes",
            field=models.PositiveIntegerField(
                default=60,
                help_text="Minutes from one scheduled run to the next. 1 to 527,040 (366 days).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(527040),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="policystore",
            name="run_limit_minutes",
            field=models.PositiveIntegerField(
                default=1440,
                help_text="A run fails when one of its attempts takes longer than this many minutes. 1 to 44,640 (31 days).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(44640),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="policystore",
            name="stall_limit_minutes",
            field=models.PositiveIntegerField(
                default=10,
                help_text="An attempt of a run that makes no iteration for this many minutes is stopped, and the run is queued again. 1 to 1,440 (one day).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1440),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="policyversion",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                help_text="The version that training started from.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="heartbeat_at",
            field=models.DateTimeField(blank=True, help_text="The worker's last, by the database's clock.", null=True),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="initial_version",
            field=models.ForeignKey(
                blank=True,
                help_text="The version that training starts from; none: random weights.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="iterations_done",
            field=models.PositiveBigIntegerField(default=0, help_text="Rollouts, each followed by its update."),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="sent_at",
            field=models.DateTimeField(
                blank=True, help_text="When a task message was last sent to the workers.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="workers_lost",
            field=models.PositiveSmallIntegerField(
                default=0, help_text="Attempts that ended because the worker was lost."
            ),
        ),
    ]
