import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0004_roles"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(help_text="SHA-256 of what was asked for.", max_length=64)),
                ("created_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
        ),
        migrations.AddIndex(
            model_name="trainingevent",
            index=models.Index(fields=["-timestamp"], name="event_timestamp"),
        ),
        migrations.AddIndex(
            model_name="trainingevent",
            index=models.Index(fields=["event_type", "-timestamp"], name="event_of_type"),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(fields=["policy", "-queued_at"], name="run_of_policy"),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(fields=["status", "-queued_at"], name="run_of_status"),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(fields=["trigger", "-queued_at"], name="run_of_trigger"),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)), fields=["-finished_at"], name="run_finished_at"
            ),
        ),
        migrations.AddField(
            model_name="idempotencykey",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="rl_training.trainingrun"
            ),
        ),
        migrations.AddField(
            model_name="idempotencykey",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddConstraint(
            model_name="idempotencykey",
            constraint=models.UniqueConstraint(fields=("user", "key"), name="idempotency_key_once_per_user"),
        ),
    ]
