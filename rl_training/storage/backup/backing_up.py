"""A backup of the database, the files that it refers to, and the settings, while everything goes on."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from rl_training.models import PolicyVersion
from rl_training.storage.backup import archive, files, rows, settings_file
from rl_training.storage.backup.snapshot import snapshot


@dataclass(frozen=True)
class Summary:
    """The numbers of rows and files in a backup. `missing` are lost artifacts that rows refer to."""

    rows: int
    files: int
    missing: tuple[str, ...]


def back_up(path: Path, *, market_files: bool = False, passphrase: str = "") -> Summary:
    """Write a backup to a new file. Raises `BackupError` and `OSError`.

    The rows are read first, as of one point in time. A row refers to an artifact only after the artifact's files were
    stored, so the files exist unless retention has removed them since. Then the version is restored without weights.
    """
    with archive.writing(path) as writer:
        with snapshot():
            tables = {model._meta.label: _add_table(writer, model) for model in rows.tables()}
            artifacts, digests = [*files.artifacts()], sorted(files.bars_digests())
            applied = {f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()}
            migrations = sorted(applied & rows.migrations())
        absent = [name for name in artifacts if not files.add_artifact(writer, name)]
        for digest in digests:
            files.add_bars(writer, digest)
        if market_files:
            files.add_market_files(writer)
        name, content = settings_file.written(passphrase)
        writer.add(name, [content])
        kept = PolicyVersion.objects.with_weights().filter(artifact__in=absent)
        missing = tuple(kept.values_list("artifact", flat=True))
        columns = {label: names for label, (_, names) in tables.items()}
        without_weights = sorted({*absent} - {*missing})
        writer.finish(migrations=migrations, columns=columns, without_weights=without_weights)
    number = sum(count for count, _ in tables.values())
    return Summary(number, len(writer.digests) - len(tables), missing)


def _add_table(writer: archive.Writer, model: type[Model]) -> tuple[int, list[str]]:
    counted = itertools.count()
    lines = (line for line, _ in zip(rows.dump(model), counted, strict=False))
    writer.add(f"rows/{model._meta.label}.jsonl", lines)
    return next(counted), [field.attname for field in rows.columns(model)]
