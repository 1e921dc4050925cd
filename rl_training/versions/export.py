"""Export of a policy version: a folder from which other programs decide."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rl_training.core.atomic import write_folder
from rl_training.core.sealed import TENSORS_FILE, CheckpointError
from rl_training.files import artifacts
from rl_training.models import PolicyStore, PolicyVersion


class ExportError(Exception):
    """The version cannot be exported. The message says why, and what would be right."""


@dataclass(frozen=True)
class Exported:
    """An exported version, why it was chosen (`live`, `newest` or `chosen`), and the names of the written files."""

    version: PolicyVersion
    why: str
    files: tuple[str, ...]


def export(policy: PolicyStore, number: int | None, folder: Path) -> Exported:
    """Write the version with this number, by default the live or else the newest version, into a new or empty folder.

    After an error the folder is unchanged. Raises `ExportError`, and `OSError` when the storage or the folder fails.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} exists and is no empty folder; name a new one")
    version, why = find_version(policy, number)
    files = _files(policy, version)
    write_folder(folder, files)
    return Exported(version, why, tuple(sorted(files)))


def find_version(policy: PolicyStore, number: int | None) -> tuple[PolicyVersion, str]:
    """Return the version to export, and why it was chosen. Raises `ExportError`."""
    versions = policy.versions.select_related("run")
    if number is not None:
        chosen = versions.filter(number=number).first()
        if chosen is None:
            raise ExportError(f"{policy.name} has no version {number}")
        return chosen, "chosen"
    live = PolicyStore.objects.with_live_version().get(pk=policy.pk).live_version_id  # type: ignore[attr-defined]
    if live is not None:
        return versions.get(pk=live), "live"
    newest = versions.order_by("-number").first()
    if newest is None:
        raise ExportError(f"{policy.name} has no version yet; train_policy {policy.name} makes one")
    return newest, "newest"


def _files(policy: PolicyStore, version: PolicyVersion) -> dict[str, bytes]:
    # torch is imported here: web and beat import other modules of this room.
    from rl_training.core.run.checkpoint import load_policy
    from rl_training.core.run.exporting.files import exported_files

    about = {"policy": policy.name, "version": version.number, "run_id": version.run.run_id, "sha256": version.sha256}
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            artifacts.fetch(version.artifact, folder)
            return exported_files(load_policy(folder), (folder / TENSORS_FILE).read_bytes(), about)
    except (FileNotFoundError, CheckpointError) as error:
        raise ExportError(f"version {version.number} of {policy.name} cannot be read: {error}") from None
