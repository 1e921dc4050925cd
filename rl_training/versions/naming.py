"""Versions by name, as in `rl_v3:12`."""

from collections.abc import Sequence

from django.db.models import Q

from quantum_trader.text import parse_whole_number
from rl_training.models import PolicyVersion
from rl_training.models.columns import large_run_columns
from rl_training.runs.triggering import LAST_VERSION

# The large columns of a run except its config. They are not needed.
LARGE = [name for name in large_run_columns("run") if name != "run__config"]
FORM = "POLICY:NUMBER, such as rl_v3:12"


class UnknownVersionError(Exception):
    """The text does not name a version; the message has the text and the right form."""


def parse(text: str) -> tuple[str, int]:
    """Return policy and number of a version's name. A policy's name may have a colon. Raises `UnknownVersionError`."""
    policy, _, number = text.strip().rpartition(":")
    found = parse_whole_number(number)
    if not policy or found is None:
        raise UnknownVersionError(f"{text[:80]!r} names no version; write {FORM}.")
    return policy, found


def find_versions(names: Sequence[tuple[str, int]]) -> list[PolicyVersion]:
    """Return the versions of these policies and numbers in this order with their runs, without large columns.

    Raises `UnknownVersionError` that names the first version that does not exist.
    """
    wanted = Q()
    for policy, number in names:
        if "\0" not in policy and 0 < number <= LAST_VERSION:
            wanted |= Q(policy__name=policy, number=number)
    versions = (
        PolicyVersion.objects.select_related("policy", "run").defer("evaluation", *LARGE).filter(wanted)
        if wanted
        else []
    )
    found = {(version.policy.name, version.number): version for version in versions}
    for policy, number in names:
        if (policy, number) not in found:
            raise UnknownVersionError(f"There is no version {number} of a policy {policy[:50]}.")
    return [found[name] for name in names]


def name_of(version: PolicyVersion) -> str:
    """Return the name of a version, which `parse` reads."""
    return f"{version.policy.name}:{version.number}"
