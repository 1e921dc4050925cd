import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0017_version_results"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Proposal",
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
                ("reason", models.TextField()),
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
                        help_text="Who or what proposed it.",
                        max_length=10,
                    ),
                ),
                ("proposer_name", models.CharField(blank=True, max_length=150)),
                (
                    "supported_by",
                    models.CharField(
                        blank=True,
                        help_text="The name of the user who stands behind a command's proposal.",
                        max_length=150,
                    ),
                ),
                ("proposed_at", models.DateTimeField(help_text="By the database's clock.")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                            ("superseded", "Superseded"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                (
                    "decided_by",
                    models.CharField(blank=True, help_text="The name of the user who decided it.", max_length=150),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-proposed_at",),
            },
        ),
        migrations.AddField(
            model_name="deployment",
            name="approved_by",
            field=models.CharField(
                blank=True,
                help_text="The names of the users who approved the proposal; empty: there was none.",
                max_length=310,
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="began",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The earlier deployment since which the same version, or nothing, is live; none: this one.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.deployment",
            ),
        ),
        migrations.AddField(
            model_name="trainingevent",
            name="deployment",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="event",
                to="rl_training.deployment",
            ),
        ),
        migrations.AlterField(
            model_name="trainingevent",
            name="run",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="rl_training.trainingrun",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("deployment__isnull", True), ("run__isnull", False)),
                    models.Q(("deployment__isnull", False), ("run__isnull", True)),
                    _connector="OR",
                ),
                name="event_of_run_or_deployment",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="deployment",
            field=models.OneToOneField(
                blank=True,
                help_text="The deployment that followed from its approval.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="proposal",
                to="rl_training.deployment",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="proposals", to="rl_training.policystore"
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="previous",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The newest deployment when it was proposed; none: there was none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.deployment",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="proposer",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The user who stands behind it, and may not approve it where two users have to agree.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="version",
            field=models.ForeignKey(
                blank=True,
                help_text="The version that would be live; none: flat.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="proposals",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(fields=["policy", "-proposed_at"], name="proposal_of_policy"),
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(fields=["-proposed_at"], name="proposal_proposed_at"),
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(condition=models.Q(("status", "waiting")), fields=["policy"], name="proposal_waiting"),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="proposal_has_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("deployment__isnull", False), ("status", "approved")),
                    models.Q(models.Q(("status", "approved"), _negated=True), ("deployment__isnull", True)),
                    _connector="OR",
                ),
                name="proposal_approved_has_deployment",
            ),
        ),
    ]
