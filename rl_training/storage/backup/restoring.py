"""The restore of a backup into an empty state."""

import io
from pathlib import Path

import django.db
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now

from rl_training.models import PolicyVersion
from rl_training.storage.backup import archive, rows, settings_file
from rl_training.storage.backup.archive import BackupError, Reader
from rl_training.storage.backup.restored_files import restored


def restore(path: Path, *, passphrase: str = "") -> int:
    """Restore a backup, and return the number of rows. Raises `BackupError` and `OSError`, and then changes nothing.

    All digests are verified first. The settings are written to `restored.env` in the state directory.
    """
    with archive.reading(path) as reader:
        Path(settings.STATE_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_release(reader)
        _check_tables(reader)
        _check_empty(reader)
        text = _settings_of(reader, passphrase)
        with restored(reader, io.BytesIO(text)):
            return _restore_database(reader)


def _check_release(reader: Reader) -> None:
    """Raise `BackupError` unless this release has exactly the tables of the backup."""
    known = rows.migrations()
    made_with = {*reader.manifest.migrations}
    differing = sorted(known ^ made_with)
    if differing:
        other = "a newer" if made_with - known else "an older"
        advice = "Restore it with that release, then upgrade."
        raise BackupError(f"The backup was made by {other} release: {differing[0]} differs. {advice}")


def _check_tables(reader: Reader) -> None:
    """Raise `BackupError` unless the backup has the rows of all tables, with columns of these tables."""
    stored = reader.manifest.columns
    for model in rows.tables():
        label, known = model._meta.label, {field.attname for field in rows.columns(model)}
        if f"rows/{label}.jsonl" not in reader or not known.issuperset(stored.get(label, [""])):
            raise BackupError(f"The backup lacks the rows of {label}, or has other columns.")


def _check_empty(reader: Reader) -> None:
    """Raise `BackupError` if the database has tables, or if a folder that the restore fills has files."""
    if connection.introspection.table_names():
        another = "name another in DATABASE_URL or STATE_DIR"
        raise BackupError(f"The database has tables. A restore needs an empty one: {another}.")
    roots = {"ARTIFACT_ROOT": "artifacts", "MARKET_DATA_ROOT": "market"}
    for name, folder in roots.items():
        root = Path(getattr(settings, name))
        if reader.names(folder) and root.is_dir() and any(root.iterdir()):
            raise BackupError(f"{root} has files. A restore needs an empty folder: name another as {name}.")


def _settings_of(reader: Reader, passphrase: str) -> bytes:
    name = settings_file.ENCRYPTED if settings_file.ENCRYPTED in reader else settings_file.PLAIN
    content = reader.open(name).read()
    if name == settings_file.PLAIN:
        return content
    if not passphrase:
        raise BackupError("The settings are encrypted: name the file with the passphrase, --passphrase-file.")
    return settings_file.decrypted(content, passphrase)


def _restore_database(reader: Reader) -> int:
    """Create the tables and store the rows in one transaction, so that an error leaves an empty database.

    SQLite changes tables only while constraint checks are off, PostgreSQL only while no deferred check is pending.
    """
    with connection.constraint_checks_disabled(), transaction.atomic():
        if connection.vendor == "postgresql":
            # A large table takes longer than any other statement may.
            _execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            _execute("SET CONSTRAINTS ALL IMMEDIATE")
        call_command("migrate", interactive=False, verbosity=0)
        rows.empty()
        if connection.vendor == "postgresql":
            _execute("SET CONSTRAINTS ALL DEFERRED")
        number = sum(_restore_rows(reader, model._meta.label) for model in rows.tables())
        rows.reset_sequences()
        lost = PolicyVersion.objects.filter(artifact__in=reader.manifest.without_weights)
        lost.update(weights_removed_at=Now(), artifact="")
        try:
            connection.check_constraints()
        except django.db.IntegrityError as error:
            raise BackupError(f"The backup has rows that refer to missing rows: {error}") from error
    return number


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _restore_rows(reader: Reader, label: str) -> int:
    columns, lines = reader.manifest.columns[label], reader.open(f"rows/{label}.jsonl")
    try:
        return rows.load(apps.get_model(label), columns, lines)
    except (ValueError, TypeError, ArithmeticError, RecursionError, ValidationError, django.db.Error) as error:
        raise BackupError(f"The rows of {label} cannot be stored: {error}") from error
