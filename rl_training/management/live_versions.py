"""Functions that the commands about what is live share."""

import json

from django.core.management.base import CommandError, OutputWrapper

from quantum_trader.logs import escape_control_characters
from quantum_trader.text import parse_whole_number
from quantum_trader.timestamps import utc_text
from rl_training import keys
from rl_training.models import Comparison, Deployment, PolicyStore, PolicyVersion, Proposal
from rl_training.runs.triggering import LAST_VERSION
from rl_training.versions import live, proposals
from rl_training.versions.changes import Change, ChangeRefusedError, command_author

REFUSED, WRONG_USAGE, PROPOSED = 1, 2, 3
EXIT_STATUS = "Exit status: 0 done, 1 refused, 2 wrong usage, 3 proposed: a second user has to approve it."


def find_policy(name: str) -> PolicyStore:
    try:
        return keys.find_policy(name)
    except keys.SettingError as error:
        raise CommandError(str(error), returncode=WRONG_USAGE) from None


def find_version(policy: PolicyStore, text: str) -> PolicyVersion:
    """Return the policy's version with this number. Raises `CommandError`."""
    number = parse_whole_number(text)
    found = policy.versions.filter(number=number).first() if number and number <= LAST_VERSION else None
    if found is None:
        raise CommandError(f"{policy.name} has no version {text!r}", returncode=WRONG_USAGE)
    return found


def find_comparison(text: str) -> Comparison:
    """Return the comparison with this id. Raises `CommandError`."""
    found = Comparison.objects.defer("result").filter(comparison_id=text).first()
    if found is None:
        raise CommandError(f"there is no comparison {text!r}", returncode=WRONG_USAGE)
    return found


def request(policy: PolicyStore, change: Change, out: OutputWrapper) -> None:
    """Make the change and print what is live then, or propose the change. Raises `CommandError`."""
    try:
        made = proposals.request(policy, change, command_author())
    except ChangeRefusedError as error:
        raise CommandError(escape_control_characters(str(error)), returncode=REFUSED) from None
    if isinstance(made, Proposal):
        text = (
            f"Proposal {made.pk} waits: PROMOTION_NEEDS_TWO is set, and two users have to approve a command's proposal."
        )
        raise CommandError(text, returncode=PROPOSED)
    out.write(escape_control_characters(live.sentence(made)))


def as_json(policy: PolicyStore, found: Deployment | None) -> str:
    """Return what is live as JSON; `version` is null if nothing is live."""
    described = live.describe(found)
    if described["since"]:
        described["since"] = utc_text(described["since"])
    return json.dumps({"policy": policy.name, **described})
