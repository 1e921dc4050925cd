import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0024_new_policies_are_gated"),
    ]

    operations = [
        migrations.CreateModel(
            name="Arm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("live", "the live version"), ("flat", "flat"), ("buy_and_hold", "buy and hold")],
                        max_length=21,
                    ),
                ),
                (
                    "rules",
                    models.JSONField(
                        help_text="The costs and positions of its account, as in the policy's environment."
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                ("opening", models.TextField(help_text="Why it was opened.")),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("ending", models.TextField(blank=True, help_text="Why it ended.")),
                (
                    "error",
                    models.TextField(blank=True, help_text="Why it could not decide the last time; empty when it did."),
                ),
            ],
            options={
                "ordering": ("policy", "pk"),
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("decision_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("bar_opened_at", models.DateTimeField()),
                ("bar_closed_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField()),
                ("valid_until", models.DateTimeField(help_text="The decision is not to be used after this time.")),
                ("weights_sha256", models.CharField(blank=True, max_length=64)),
                (
                    "trained_until",
                    models.DateTimeField(blank=True, help_text="The last bar that the version knows.", null=True),
                ),
                (
                    "target_position",
                    models.FloatField(help_text="As a fraction of equity; traded at the next bar's open."),
                ),
                ("previous_target", models.FloatField(help_text="The target that the account last traded to.")),
                (
                    "probabilities",
                    models.JSONField(blank=True, help_text="Of each position; none for a rule.", null=True),
                ),
                ("value", models.FloatField(blank=True, help_text="The critic's value of the observation.", null=True)),
                ("observation", models.BinaryField(help_text="Little-endian float32; empty for a rule.")),
                ("observation_sha256", models.CharField(blank=True, max_length=64)),
                ("bars_digest", models.CharField(help_text="Of the bars that the decision saw.", max_length=64)),
                ("equity", models.FloatField(help_text="At the close of the bar, in multiples of the initial equity.")),
                ("cash", models.FloatField()),
                ("units", models.FloatField()),
                ("entry_equity", models.FloatField(help_text="Equity just after the last trade.")),
                ("peak", models.FloatField(help_text="The highest equity at a close so far.")),
                ("note", models.TextField(blank=True, help_text="What happened since the decision before, in words.")),
            ],
            options={
                "ordering": ("-bar_opened_at",),
            },
        ),
        migrations.CreateModel(
            name="FollowedMarket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "identity",
                    models.CharField(
                        help_text="Digest of the settings that decide its bars.", max_length=64, unique=True
                    ),
                ),
                ("config", models.JSONField(help_text="The market settings of the first policy that followed it.")),
                ("label", models.CharField(help_text="The market's label.", max_length=600)),
                (
                    "spacing",
                    models.PositiveIntegerField(
                        default=0, help_text="Seconds from a bar to the next; 0: no bars are known."
                    ),
                ),
                (
                    "newest_at",
                    models.DateTimeField(blank=True, help_text="When the newest known bar opened.", null=True),
                ),
                ("grew_at", models.DateTimeField(blank=True, help_text="When a new bar was seen last.", null=True)),
                (
                    "revised_at",
                    models.DateTimeField(blank=True, help_text="When a bar was seen last that had changed.", null=True),
                ),
                ("read_at", models.DateTimeField(blank=True, help_text="When the source answered last.", null=True)),
                (
                    "due_at",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="When the source is read next."),
                ),
                (
                    "failures",
                    models.PositiveIntegerField(
                        default=0, help_text="Readings that failed since the last that succeeded."
                    ),
                ),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                (
                    "error",
                    models.TextField(blank=True, help_text="Why the last reading failed; empty when it did not."),
                ),
            ],
            options={
                "ordering": ("label", "pk"),
            },
        ),
        migrations.CreateModel(
            name="MarketBar",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("opened_at", models.DateTimeField()),
                ("revision", models.PositiveSmallIntegerField(default=0)),
                ("open", models.FloatField()),
                ("high", models.FloatField()),
                ("low", models.FloatField()),
                ("close", models.FloatField()),
                ("volume", models.FloatField()),
                ("removed", models.BooleanField(default=False, help_text="Whether the source has this bar no longer.")),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "ordering": ("opened_at", "revision"),
            },
        ),
        migrations.RemoveConstraint(
            model_name="trainingevent",
            name="event_of_one_subject",
        ),
        migrations.AddField(
            model_name="arm",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="arms", to="rl_training.policystore"
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="arm",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="decisions",
                to="rl_training.arm",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="deployment",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="What made the version live; none for another arm than the live one.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.deployment",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="policy",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policystore",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="version",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AddField(
            model_name="trainingevent",
            name="decision",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="event",
                to="rl_training.decision",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("decision__isnull", True),
                        ("deployment__isnull", True),
                        ("run__isnull", False),
                        ("validation__isnull", True),
                    ),
                    models.Q(
                        ("decision__isnull", True),
                        ("deployment__isnull", False),
                        ("run__isnull", True),
                        ("validation__isnull", True),
                    ),
                    models.Q(
                        ("decision__isnull", True),
                        ("deployment__isnull", True),
                        ("run__isnull", True),
                        ("validation__isnull", False),
                    ),
                    models.Q(
                        ("decision__isnull", False),
                        ("deployment__isnull", True),
                        ("run__isnull", True),
                        ("validation__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="event_of_one_subject",
            ),
        ),
        migrations.AddIndex(
            model_name="followedmarket",
            index=models.Index(fields=["due_at"], name="market_due"),
        ),
        migrations.AddField(
            model_name="arm",
            name="market",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="arms", to="rl_training.followedmarket"
            ),
        ),
        migrations.AddField(
            model_name="marketbar",
            name="market",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="bars",
                to="rl_training.followedmarket",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="bar",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.marketbar",
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)), fields=("policy", "kind"), name="arm_one_open_per_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="marketbar",
            constraint=models.UniqueConstraint(fields=("market", "opened_at", "revision"), name="bar_revision_once"),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.UniqueConstraint(
                fields=("policy", "arm", "bar_opened_at"), name="decision_once_per_arm_and_bar"
            ),
        ),
    ]
