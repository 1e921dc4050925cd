import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery

REASON_NOT_STORED = "the reason was not stored; the log of that time has it"


def fill_from_versions(apps, schema_editor):
    """Copy the parent of each version to the run that made the version."""
    runs = apps.get_model("rl_training", "TrainingRun").objects.order_by()
    versions = apps.get_model("rl_training", "PolicyVersion").objects.order_by()
    parent = Subquery(versions.filter(run=OuterRef("pk")).values("parent")[:1])
    made = runs.filter(pk__in=versions.values("run"))
    made.update(started_from=parent, start_note="")
    made.filter(started_from=None, initial_version__isnull=False).update(start_note=REASON_NOT_STORED)


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0009_run_triggered_by"),
    ]

    operations = [
        # Columns that may be null are added without rewriting the table.
        migrations.AddField(
            model_name="trainingrun",
            name="started_from",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The version that training really started from.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="start_note",
            field=models.TextField(
                blank=True,
                help_text="Why the run started from another version than its initial one, or from none.",
                null=True,
            ),
        ),
        migrations.RunPython(fill_from_versions, migrations.RunPython.noop),
    ]
