"""The restore of a backup into an empty state."""

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now

from rl_training.core.atomic import write_file
from rl_training.models import PolicyVersion
from rl_training.storage.backup import archive, rows, settings_file
from rl_training.storage.backup.archive import BackupError, Reader

RESTORED_SETTINGS = "restored.env"


def restore(path: Path, *, passphrase: str = "") -> int:
    """Restore a backup, and return the number of rows. Raises `BackupError` before anything is changed.

    All digests are verified first. The settings are written to `restored.env` in the state directory.
    """
    with archive.reading(path) as reader:
        Path(settings.STATE_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_release(reader)
        _check_tables(reader)
        _check_empty(reader)
        text = _settings_of(reader, passphrase)
        _restore_files(reader)
        call_command("migrate", interactive=False, verbosity=0)
        number = _restore_rows(reader)
    write_file(Path(settings.STATE_DIR) / RESTORED_SETTINGS, text)
    return number


def _check_release(reader: Reader) -> None:
    """Raise `BackupError` unless this release has exactly the tables of the backup."""
    known = rows.migrations()
    made_with = {*reader.manifest["migrations"]}
    differing = sorted(known ^ made_with)
    if differing:
        other = "a newer" if made_with - known else "an older"
        advice = "Restore it with that release, then upgrade."
        raise BackupError(f"The backup was made by {other} release: {differing[0]} differs. {advice}")


def _check_tables(reader: Reader) -> None:
    """Raise `BackupError` unless the backup has the rows of all tables, with columns of these tables."""
    stored = reader.manifest["columns"]
    for model in rows.tables():
        label, known = model._meta.label, {field.attname for field in rows.columns(model)}
        if f"rows/{label}.jsonl" not in reader or not known.issuperset(stored.get(label, [""])):
            raise BackupError(f"The backup lacks the rows of {label}, or has other columns.")


def _check_empty(reader: Reader) -> None:
    """Raise `BackupError` if the database has tables, or a folder that is to be filled has files."""
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


def _restore_files(reader: Reader) -> None:
    for name, content in reader.members():
        folder, _, within = name.partition("/")
        if folder == "market":
            target = Path(settings.MARKET_DATA_ROOT) / within
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(target, content.read())
        elif folder == "artifacts":
            storages["artifacts"].save(within, content)


def _restore_rows(reader: Reader) -> int:
    number = 0
    with connection.constraint_checks_disabled(), transaction.atomic():
        rows.empty()
        for model in rows.tables():
            label = model._meta.label
            lines: Iterator[bytes] = iter(reader.open(f"rows/{label}.jsonl"))
            number += rows.load(model, reader.manifest["columns"][label], lines)
        rows.reset_sequences()
        lost = PolicyVersion.objects.filter(artifact__in=reader.manifest["without_weights"])
        lost.update(weights_removed_at=Now(), artifact="")
        connection.check_constraints()
    return number
