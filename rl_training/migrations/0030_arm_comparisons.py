import django.db.models.deletion
import django.utils.timezone
import rl_training.models.runs
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0029_roles_of_challengers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ArmComparison",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "comparison_id",
                    models.CharField(
                        default=rl_training.models.runs.new_run_id, editable=False, max_length=12, unique=True
                    ),
                ),
                (
                    "largest_loss",
                    models.FloatField(help_text="Of B against A in one bar, in log equity; fixed beforehand."),
                ),
                (
                    "floor",
                    models.FloatField(default=0.0, help_text="What B has to gain on A in each bar, in log equity."),
                ),
                (
                    "requested_at",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="Bars that open later count."),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("running", "Running"), ("better", "Better"), ("lost", "Lost"), ("ended", "Ended")],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("ending", models.TextField(blank=True, help_text="Why it ended.")),
                ("outcome", models.TextField(blank=True, help_text="What followed from the verdict.")),
                ("wealth", models.JSONField(help_text="Of each stake.")),
                ("evidence", models.FloatField(default=1.0, help_text="K, the mean wealth; 0 once B has lost.")),
                ("bars", models.PositiveIntegerField(default=0, help_text="Bars that were compared.")),
                (
                    "capped",
                    models.PositiveIntegerField(default=0, help_text="Bars with a gain above the largest loss."),
                ),
                (
                    "first_bar_at",
                    models.DateTimeField(blank=True, help_text="The bar at whose close it begins.", null=True),
                ),
                (
                    "last_bar_at",
                    models.DateTimeField(blank=True, help_text="The last bar that was compared.", null=True),
                ),
                ("a_equity", models.FloatField(blank=True, help_text="Of A at the close of that bar.", null=True)),
                ("b_equity", models.FloatField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-requested_at",),
            },
        ),
        migrations.CreateModel(
            name="ComparedBar",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("opened_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField()),
                ("difference", models.FloatField(help_text="The change of B's log equity minus that of A's.")),
                ("evidence", models.FloatField(help_text="K after the bar.")),
            ],
            options={
                "ordering": ("opened_at",),
            },
        ),
        migrations.RemoveConstraint(
            model_name="trainingevent",
            name="event_of_one_subject",
        ),
        migrations.AddField(
            model_name="armcomparison",
            name="a",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="rl_training.arm"
            ),
        ),
        migrations.AddField(
            model_name="armcomparison",
            name="b",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="rl_training.arm"
            ),
        ),
        migrations.AddField(
            model_name="armcomparison",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="arm_comparisons",
                to="rl_training.policystore",
            ),
        ),
        migrations.AddField(
            model_name="armcomparison",
            name="requested_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The user who requested it; none for a command.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="armcomparison",
            name="trial",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="arm_comparison", to="rl_training.trial"
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="arm_comparison",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The comparison on new bars that is the evidence for it; none: there is none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.armcomparison",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="arm_comparison",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The comparison on new bars that is the evidence for it; none: there is none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.armcomparison",
            ),
        ),
        migrations.AddField(
            model_name="trainingevent",
            name="arm_comparison",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="event",
                to="rl_training.armcomparison",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("arm_comparison__isnull", True),
                        ("decision__isnull", True),
                        ("deployment__isnull", True),
                        ("run__isnull", False),
                        ("validation__isnull", True),
                    ),
                    models.Q(
                        ("arm_comparison__isnull", True),
                        ("decision__isnull", True),
                        ("deployment__isnull", False),
                        ("run__isnull", True),
                        ("validation__isnull", True),
                    ),
                    models.Q(
                        ("arm_comparison__isnull", True),
                        ("decision__isnull", True),
                        ("deployment__isnull", True),
                        ("run__isnull", True),
                        ("validation__isnull", False),
                    ),
                    models.Q(
                        ("arm_comparison__isnull", True),
                        ("decision__isnull", False),
                        ("deployment__isnull", True),
                        ("run__isnull", True),
                        ("validation__isnull", True),
                    ),
                    models.Q(
                        ("arm_comparison__isnull", False),
                        ("decision__isnull", True),
                        ("deployment__isnull", True),
                        ("run__isnull", True),
                        ("validation__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="event_of_one_subject",
            ),
        ),
        migrations.AddField(
            model_name="comparedbar",
            name="comparison",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="compared_bars",
                to="rl_training.armcomparison",
            ),
        ),
        migrations.AddIndex(
            model_name="armcomparison",
            index=models.Index(fields=["-requested_at"], name="arm_comparison_requested_at"),
        ),
        migrations.AddIndex(
            model_name="armcomparison",
            index=models.Index(fields=["policy", "-requested_at"], name="arm_comparison_of_policy"),
        ),
        migrations.AddConstraint(
            model_name="armcomparison",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "running")),
                fields=("a", "b"),
                name="arm_comparison_one_running_of_two_arms",
            ),
        ),
        migrations.AddConstraint(
            model_name="armcomparison",
            constraint=models.CheckConstraint(
                condition=models.Q(("a", models.F("b")), _negated=True), name="arm_comparison_of_two_arms"
            ),
        ),
        migrations.AddConstraint(
            model_name="armcomparison",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("status", "running")),
                    models.Q(
                        models.Q(("status", "running"), _negated=True), models.Q(("ended_at", None), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="arm_comparison_ended_as_its_status",
            ),
        ),
        migrations.AddConstraint(
            model_name="comparedbar",
            constraint=models.UniqueConstraint(fields=("comparison", "opened_at"), name="compared_bar_once"),
        ),
    ]
