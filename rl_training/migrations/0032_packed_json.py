from django.db import migrations

from rl_training.models.storage.packed_json import PackedJSONField, PackJSONColumn


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0031_roles_of_arm_comparisons"),
    ]

    operations = [
        PackJSONColumn(
            model_name="policyversion",
            name="evaluation",
            field=PackedJSONField(),
        ),
        PackJSONColumn(
            model_name="trainingrun",
            name="computing_environment",
            field=PackedJSONField(
                blank=True,
                help_text="Versions and kernels that the last attempt computes with; see "
                "core/run/computing_environment.py.",
                null=True,
            ),
        ),
        PackJSONColumn(
            model_name="trainingrun",
            name="curve",
            field=PackedJSONField(
                blank=True, help_text="Rewards and PPO's metrics; see core/run/curves.py.", null=True
            ),
        ),
        PackJSONColumn(
            model_name="trainingrun",
            name="episode_rewards",
            field=PackedJSONField(blank=True, default=list),
        ),
    ]
