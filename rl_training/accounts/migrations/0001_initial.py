import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="account",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "second_factor_required",
                    models.BooleanField(
                        default=False,
                        help_text="The user must log in with a second factor, and sets it up at the next login.",
                    ),
                ),
            ],
            options={
                "ordering": ("user__username",),
            },
        ),
        migrations.CreateModel(
            name="FailedLogins",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("user", "a user, from places where the user is not known"),
                            ("place", "a user, at a place where the user is known"),
                            ("address", "an address, as any user"),
                            ("tokens", "an address, with API tokens"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "user",
                    models.CharField(blank=True, help_text="The name as it was typed, in lower case.", max_length=150),
                ),
                ("place", models.CharField(blank=True, help_text="A network, or a browser.", max_length=64)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("last_failure_at", models.DateTimeField(db_index=True)),
                ("refused_until", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "failed logins",
                "verbose_name_plural": "failed logins",
                "ordering": ("-last_failure_at",),
                "constraints": [models.UniqueConstraint(fields=("kind", "user", "place"), name="failed_logins_once")],
            },
        ),
        migrations.CreateModel(
            name="KnownPlace",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user", models.CharField(help_text="The user's name in lower case.", max_length=150)),
                (
                    "place",
                    models.CharField(
                        help_text="An IPv4 address, or the first 64 bits of an IPv6 address such as 2001:db8:0:1::/64.",
                        max_length=64,
                    ),
                ),
                ("last_used_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ("user", "-last_used_at"),
                "constraints": [models.UniqueConstraint(fields=("user", "place"), name="known_place_once")],
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("hint", models.CharField(editable=False, help_text="The token's first characters.", max_length=8)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_from", models.CharField(blank=True, max_length=45)),
                (
                    "second_factor",
                    models.BooleanField(
                        default=False,
                        help_text="Whether a login with a second factor, or a command, created the token.",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "API token",
                "ordering": ("user__username", "name"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "name"),
                        name="token_name_once_per_user",
                        violation_error_message="The user has a token with this name.",
                    )
                ],
            },
        ),
    ]
