"""The files in a backup besides rows: the artifacts and bars that rows refer to, and market files."""

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.storage import storages

from rl_training.files import bars
from rl_training.models import PolicyVersion, TrainingRun, Validation, ValidationStep
from rl_training.storage.backup.archive import Writer, pieces_of


def artifacts() -> Iterator[str]:
    """Yield the name of each artifact that a row refers to."""
    for rows in (
        PolicyVersion.objects.filter(weights_removed_at=None).values_list("artifact", flat=True),
        ValidationStep.objects.values_list("artifact", flat=True),
        Validation.objects.values_list("accounts", flat=True),
    ):
        yield from (name for name in rows.order_by("pk").iterator() if name)


def bars_digests() -> set[str]:
    """Return the digests of stored bars that a row refers to."""
    found = {*bars.digests()}
    used: set[str] = set()
    for model in (TrainingRun, Validation):
        rows = model._base_manager.exclude(bars_digest="").order_by()
        used |= {*rows.values_list("bars_digest", flat=True).distinct()} & found
    return used


def add_artifact(writer: Writer, name: str) -> bool:
    """Add the files of an artifact; return whether all files exist."""
    storage = storages["artifacts"]
    try:
        for file_name in sorted(storage.listdir(name)[1]):
            with storage.open(f"{name}/{file_name}", "rb") as file:
                writer.add(f"artifacts/{name}/{file_name}", pieces_of(file))
    except FileNotFoundError:
        return False
    return True


def add_bars(writer: Writer, digest: str) -> None:
    """Add stored bars, unless retention has removed them meanwhile."""
    name = f"{bars.FOLDER}/{digest}.npz"
    try:
        with storages["artifacts"].open(name, "rb") as file:
            writer.add(f"artifacts/{name}", pieces_of(file))
    except FileNotFoundError:
        return


def add_market_files(writer: Writer) -> None:
    """Add all files below MARKET_DATA_ROOT except hidden files, which are unfinished uploads."""
    root = Path(settings.MARKET_DATA_ROOT)
    for path in sorted(root.rglob("*")):
        within = path.relative_to(root)
        if path.is_file() and not any(part.startswith(".") for part in within.parts):
            with path.open("rb") as file:
                writer.add(f"market/{within.as_posix()}", pieces_of(file))
