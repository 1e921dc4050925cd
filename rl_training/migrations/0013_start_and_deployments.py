import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0012_run_curve"),
    ]

    operations = [
        migrations.CreateModel(
            name="Deployment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("promote", "Promote"),
                            ("pin", "Pin"),
                            ("unpin", "Unpin"),
                            ("roll_back", "Roll Back"),
                            ("go_flat", "Go Flat"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "pinned",
                    models.BooleanField(
                        default=False, help_text="Whether automatic promotions leave the version live."
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        help_text="By the database's clock; later than every earlier deployment of the policy."
                    ),
                ),
                (
                    "actor",
                    models.CharField(
                        choices=[
                            ("user", "User"),
                            ("command", "Command"),
                            ("gate", "Gate"),
                            ("guard", "Guard"),
                            ("migration", "Migration"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "actor_name",
                    models.CharField(
                        blank=True,
                        help_text="The user's name. A name, since users may be removed and this row stays.",
                        max_length=150,
                    ),
                ),
                ("reason", models.TextField()),
            ],
            options={
                "ordering": ("-at",),
            },
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="min_new_bars",
            field=models.PositiveIntegerField(
                default=0,
                help_text="A slot is skipped while fewer bars than this have closed since the last successful run. 0 to 10,000,000; 0 skips none.",
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(10000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="promotion",
            field=models.CharField(
                choices=[("manual", "manual: a person"), ("newest", "newest: the run that makes it")],
                default="manual",
                help_text="What makes a new version live.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="seeds",
            field=models.PositiveIntegerField(
                default=3,
                help_text="Members that a run trains, each from a seed of its own. Their mean action probabilities are the version's. 1 to 32.",
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(32)],
            ),
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="start_from",
            field=models.CharField(
                choices=[
                    ("scratch", "scratch: random weights"),
                    ("live", "live: the weights of the live version"),
                    ("newest", "newest: the weights of the newest version"),
                ],
                default="scratch",
                help_text="What each run starts from. Runs that continue from a version memorise the bars they repeat.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="min_new_bars",
            field=models.PositiveIntegerField(
                default=0,
                help_text="A slot is skipped while fewer bars than this have closed since the last successful run. 0 to 10,000,000; 0 skips none.",
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(10000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="promotion",
            field=models.CharField(
                choices=[("manual", "manual: a person"), ("newest", "newest: the run that makes it")],
                default="manual",
                help_text="What makes a new version live.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="seeds",
            field=models.PositiveIntegerField(
                default=3,
                help_text="Members that a run trains, each from a seed of its own. Their mean action probabilities are the version's. 1 to 32.",
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(32)],
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="start_from",
            field=models.CharField(
                choices=[
                    ("scratch", "scratch: random weights"),
                    ("live", "live: the weights of the live version"),
                    ("newest", "newest: the weights of the newest version"),
                ],
                default="scratch",
                help_text="What each run starts from. Runs that continue from a version memorise the bars they repeat.",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("seeds__gte", 1), ("seeds__lte", 32)),
                name="policy_seeds_range",
                violation_error_message="seeds: 1 to 32.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("min_new_bars__gte", 0), ("min_new_bars__lte", 10000000)),
                name="policy_min_new_bars_range",
                violation_error_message="min_new_bars: 0 to 10,000,000.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("start_from__in", ["scratch", "live", "newest"])),
                name="policy_start_from_known",
                violation_error_message="start_from: one of scratch, live, newest.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("promotion__in", ["manual", "newest"])),
                name="policy_promotion_known",
                violation_error_message="promotion: one of manual, newest.",
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="deployments", to="rl_training.policystore"
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="previous",
            field=models.OneToOneField(
                blank=True,
                help_text="The one before.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="following",
                to="rl_training.deployment",
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="version",
            field=models.ForeignKey(
                blank=True,
                help_text="The version that is live from then on; none: flat.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deployments",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.UniqueConstraint(fields=("policy", "at"), name="deployment_one_at_a_time"),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("previous__isnull", True)),
                fields=("policy",),
                name="deployment_one_first_per_policy",
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="deployment_has_reason"
            ),
        ),
    ]
