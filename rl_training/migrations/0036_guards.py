import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0035_roles_of_storage"),
    ]

    operations = [
        migrations.CreateModel(
            name="Watch",
            fields=[
                (
                    "arm",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="watch",
                        serialize=False,
                        to="rl_training.arm",
                    ),
                ),
                ("last_bar_at", models.DateTimeField()),
                ("equity", models.FloatField(help_text="At the close of that bar.")),
                ("was_live", models.BooleanField(help_text="Whether a version decided at that bar.")),
                ("peak", models.FloatField(help_text="The highest equity since the watch began anew.")),
                ("detector", models.JSONField(help_text="M of each stake; see core/evaluation/betting.py.")),
                ("evidence", models.FloatField(default=0.0, help_text="M, their mean.")),
                ("bars", models.PositiveIntegerField(default=0, help_text="Bars since the watch began anew.")),
            ],
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="demotion_bars",
            field=models.PositiveIntegerField(
                default=0,
                help_text="A version that loses nothing is demoted once in so many bars on average, and a losing one soon. 0 to 1,000,000,000; 0: the bars of ten years.",
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1000000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="drawdown_limit",
            field=models.PositiveIntegerField(
                default=30,
                help_text="A live version whose paper account falls by more than so many percent from its peak is ended. 1 to 100; 100 never is.",
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)],
            ),
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="fallback",
            field=models.CharField(
                choices=[
                    ("flat", "flat: nothing is live"),
                    ("previous", "previous: the version that was live before, or nothing"),
                    ("none", "none: no guard acts"),
                ],
                default="flat",
                help_text="What follows when a guard ends what is live; none: no guard acts.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="demotion_bars",
            field=models.PositiveIntegerField(
                default=0,
                help_text="A version that loses nothing is demoted once in so many bars on average, and a losing one soon. 0 to 1,000,000,000; 0: the bars of ten years.",
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1000000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="drawdown_limit",
            field=models.PositiveIntegerField(
                default=30,
                help_text="A live version whose paper account falls by more than so many percent from its peak is ended. 1 to 100; 100 never is.",
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)],
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="fallback",
            field=models.CharField(
                choices=[
                    ("flat", "flat: nothing is live"),
                    ("previous", "previous: the version that was live before, or nothing"),
                    ("none", "none: no guard acts"),
                ],
                default="flat",
                help_text="What follows when a guard ends what is live; none: no guard acts.",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("demotion_bars__gte", 0), ("demotion_bars__lte", 1000000000)),
                name="policy_demotion_bars_range",
                violation_error_message="demotion_bars: 0 to 1,000,000,000.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("drawdown_limit__gte", 1), ("drawdown_limit__lte", 100)),
                name="policy_drawdown_limit_range",
                violation_error_message="drawdown_limit: 1 to 100.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("fallback__in", ["flat", "previous", "none"])),
                name="policy_fallback_known",
                violation_error_message="fallback: one of flat, previous, none.",
            ),
        ),
        migrations.AddField(
            model_name="watch",
            name="deployment",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Of that bar's decision.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.deployment",
            ),
        ),
    ]
