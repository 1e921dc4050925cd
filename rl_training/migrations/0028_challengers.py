import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0027_decision_enabled"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="arm",
            name="arm_one_open_per_kind",
        ),
        migrations.AddField(
            model_name="arm",
            name="recipe",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Digest of the recipe whose newest version decides; of the kind `newest` alone.",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="arm",
            name="recipe_policy",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Whose versions decide; of the kind `newest` alone.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policystore",
            ),
        ),
        migrations.AddField(
            model_name="arm",
            name="version",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="That always decides; of the kind `version` alone.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="has_decided",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Whether a challenger decides by it, or did: its weights are kept.",
            ),
        ),
        migrations.AlterField(
            model_name="arm",
            name="kind",
            field=models.CharField(
                choices=[
                    ("live", "the live version"),
                    ("flat", "flat"),
                    ("buy_and_hold", "buy and hold"),
                    ("newest", "newest version of the recipe"),
                    ("version", "pinned version"),
                    ("last_return_followed", "sign of the last return"),
                    ("last_return_opposed", "sign of the last return, opposed"),
                    ("last_20_bars_followed", "sign of the last 20 bars' return"),
                ],
                max_length=21,
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("ended_at__isnull", True), ("recipe_policy__isnull", True), ("version__isnull", True)
                ),
                fields=("policy", "kind"),
                name="arm_one_open_per_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)),
                fields=("policy", "version"),
                name="arm_one_open_per_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)),
                fields=("policy", "recipe_policy", "recipe"),
                name="arm_one_open_per_recipe",
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "version"), ("version__isnull", False)),
                    models.Q(models.Q(("kind", "version"), _negated=True), ("version__isnull", True)),
                    _connector="OR",
                ),
                name="arm_version_as_its_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "newest"), ("recipe_policy__isnull", False)),
                    models.Q(models.Q(("kind", "newest"), _negated=True), ("recipe_policy__isnull", True)),
                    _connector="OR",
                ),
                name="arm_recipe_as_its_kind",
            ),
        ),
    ]
