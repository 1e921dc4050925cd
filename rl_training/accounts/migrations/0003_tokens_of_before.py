import hashlib

from django.db import migrations

# The table of rest_framework.authtoken, an app of earlier releases: one token for each user, in plain text.
TABLE = "authtoken_token"


def take_over(apps, schema_editor):
    """Keep the tokens as digests, without an end, and remove the table with their text."""
    with schema_editor.connection.cursor() as cursor:
        if TABLE not in schema_editor.connection.introspection.table_names(cursor):
            return
        cursor.execute("SELECT key, user_id FROM authtoken_token")
        found = cursor.fetchall()
        token = apps.get_model("accounts", "ApiToken")
        rows = [
            token(
                user_id=user,
                name="API token",
                digest=hashlib.sha256(key.encode()).hexdigest(),
                hint=key[:8],
            )
            for key, user in found
        ]
        token.objects.bulk_create(rows, batch_size=1000)
        cursor.execute("DROP TABLE authtoken_token")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'authtoken'")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_accounts_and_roles")]

    operations = [migrations.RunPython(take_over, migrations.RunPython.noop)]
