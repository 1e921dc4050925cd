import django.core.validators
import re
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0037_policies_with_runs_have_no_guards"),
    ]

    operations = [
        migrations.AlterField(
            model_name="historicalpolicystore",
            name="name",
            field=models.CharField(
                db_index=True,
                error_messages={"unique": "There is a policy %(model)s already."},
                help_text="Lower-case letters, digits and underscores. It names the policy's streams and keys.",
                max_length=50,
                validators=[
                    django.core.validators.RegexValidator(
                        re.compile("\\A[a-z][a-z0-9_]*\\Z"),
                        "Lower-case letters, digits and underscores, starting with a letter.",
                    )
                ],
            ),
        ),
        migrations.AlterField(
            model_name="historicalpolicystore",
            name="stall_limit_minutes",
            field=models.PositiveIntegerField(
                default=10,
                help_text="An attempt of a run that makes no iteration for this many minutes is stopped, and the run is queued again. The bars of an evaluation count as iterations do. 1 to 1,440 (one day).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1440),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="policystore",
            name="name",
            field=models.CharField(
                error_messages={"unique": "There is a policy %(model)s already."},
                help_text="Lower-case letters, digits and underscores. It names the policy's streams and keys.",
                max_length=50,
                unique=True,
                validators=[
                    django.core.validators.RegexValidator(
                        re.compile("\\A[a-z][a-z0-9_]*\\Z"),
                        "Lower-case letters, digits and underscores, starting with a letter.",
                    )
                ],
            ),
        ),
        migrations.AlterField(
            model_name="policystore",
            name="stall_limit_minutes",
            field=models.PositiveIntegerField(
                default=10,
                help_text="An attempt of a run that makes no iteration for this many minutes is stopped, and the run is queued again. The bars of an evaluation count as iterations do. 1 to 1,440 (one day).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1440),
                ],
            ),
        ),
    ]
