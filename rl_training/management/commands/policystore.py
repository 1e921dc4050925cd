import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from pydantic_core import to_jsonable_python

from quantum_trader.logs import escape_control_characters
from rl_training import keys, settings_change, settings_file
from rl_training.core.words import count_of
from rl_training.management.arguments import NO_OPTIONS
from rl_training.models import PolicyStore
from rl_training.runs.next_start import next_starts
from rl_training.trainable import device_warning
from rl_training.validation import gate

WRONG_USAGE = 2


class Command(BaseCommand):
    help = (
        "Read and change settings by key, such as rl_v3.training.interval_minutes; create policies; export and import "
        "all settings. Exit status: 0 done, 2 refused."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="print every key and its value")
        get = actions.add_parser("get", help="print the value of one key as JSON")
        get.add_argument("key", metavar="KEY")
        change = actions.add_parser(
            "set", help="change the values of keys, all or none", prefix_chars=NO_OPTIONS, add_help=False
        )
        change.add_argument("pairs", nargs="+", metavar="KEY=VALUE", help="the value as JSON; text needs no quotes")
        create = actions.add_parser("create", help="add a policy with default settings")
        create.add_argument("name", metavar="NAME")
        create.add_argument("--like", metavar="OTHER", help="copy this policy's settings; the copy is disabled")
        export = actions.add_parser(
            "export", help="write all settings of policies to a file, as YAML if its name ends with .yaml, else as JSON"
        )
        export.add_argument(
            "names",
            nargs="*",
            metavar="NAME ... FILE",
            help="the policies (default: all) and the file to write, whose name must have a dot or a slash",
        )
        imported = actions.add_parser("import", help="change and create policies as a file says, all or none")
        imported.add_argument("file", metavar="FILE", help="a file as `export` writes it; - reads the standard input")
        imported.add_argument("--dry-run", action="store_true", help="print the changes and save nothing")

    def handle(self, *, action: str, **options: Any) -> None:
        run: dict[str, Callable[..., None]] = {
            "list": self.list_keys,
            "get": self.get,
            "set": self.set,
            "create": self.create,
            "export": self.export,
            "import": self.import_file,
        }
        try:
            run[action](**options)
        except keys.SettingError as error:
            raise refused(*str(error).split("\n")) from None
        except settings_change.SettingsRefusedError as error:
            raise refused(*(f"{name}: {message}" for name, message in error.errors.items())) from None

    def list_keys(self, **_: Any) -> None:
        for policy in PolicyStore.objects.all():
            for name, current in keys.settings_of(policy):
                self._print(name, current)

    def get(self, *, key: str, **_: Any) -> None:
        self.stdout.write(json.dumps(to_jsonable_python(keys.get(key))))

    def set(self, *, pairs: Sequence[str], **_: Any) -> None:
        texts = split_pairs(pairs)
        names = {key.split(".")[0] for key in texts}
        recipes = recipes_of(names)
        values = keys.set_values(texts)
        for key, value in values.items():
            self._print(key, value)
        self._warn(list(PolicyStore.objects.filter(name__in=names)), recipes)

    def create(self, *, name: str, like: str | None, **_: Any) -> None:
        policy = settings_change.create(name, {}, like=None if like is None else keys.find_policy(like))
        state = "enabled" if policy.enabled else "disabled"
        self.stdout.write(f"Policy {policy.name} is created, {state}.")
        self._warn_of_device([policy])

    def export(self, *, names: list[str], **_: Any) -> None:
        # No policy's name has a dot or a slash.
        file = names.pop() if names and {".", "/"} & set(names[-1]) else None
        policies = [keys.find_policy(name) for name in names] or list(PolicyStore.objects.all())
        as_yaml = file is not None and file.endswith((".yaml", ".yml"))
        text = settings_file.export_settings(policies, as_yaml=as_yaml)
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise refused(f"{file} cannot be written: {error.strerror}") from None
        self.stdout.write(f"{len(policies)} {'policy' if len(policies) == 1 else 'policies'} written to {file}.")

    def import_file(self, *, file: str, dry_run: bool, **_: Any) -> None:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not a text file in UTF-8"
            raise refused(f"{file} cannot be read: {why}") from None
        wanted = settings_file.read(text)
        recipes = recipes_of(wanted)
        changes, policies = settings_file.import_settings(wanted, dry_run=dry_run)
        for line in changes:
            self.stdout.write(escape_control_characters(line))
        self._warn([policy for policy in policies if policy.pk in recipes], recipes)
        self.stdout.write(
            "Nothing was saved: this was a dry run." if dry_run else f"{count_of(len(changes), 'change')} saved."
        )

    def _warn(self, policies: Sequence[PolicyStore], recipes: Mapping[int, str]) -> None:
        """Print the policies whose next run does not just continue, and the policies whose validation expires.

        `recipes` maps the policy's id to the digest of its recipe before the change.
        """
        self._warn_of_device(policies)
        expiring = gate.expirings(recipes, policies)
        for policy, start in zip(policies, next_starts(policies), strict=True):
            if start and start.is_unusual:
                self.stderr.write(escape_control_characters(f"{policy.name}: {start}"))
            if policy.pk in expiring:
                self.stderr.write(escape_control_characters(f"{policy.name}: {gate.expiry(expiring[policy.pk])}"))

    def _warn_of_device(self, policies: Sequence[PolicyStore]) -> None:
        for policy in policies:
            if warning := device_warning(policy.ppo):
                self.stderr.write(f"{policy.name}: {warning}")

    def _print(self, key: str, value: Any) -> None:
        self.stdout.write(f"{key} = {json.dumps(to_jsonable_python(value))}")


def recipes_of(names: Iterable[str]) -> dict[int, str]:
    """Return the digests of the recipes of the policies with these names, by the policy's id."""
    known = [name for name in names if keys.is_unicode(name)]
    return {policy.pk: gate.recipe_of(policy) for policy in PolicyStore.objects.filter(name__in=known)}


def refused(*lines: str) -> CommandError:
    return CommandError("\n".join(map(escape_control_characters, lines)), returncode=WRONG_USAGE)


def split_pairs(arguments: Sequence[str]) -> dict[str, str]:
    """Return the values by key of `KEY=VALUE ...` or `KEY VALUE ...`. Raises `SettingError`."""
    if "=" in arguments[0]:
        pairs = [argument.partition("=") for argument in arguments]
        wrong = [key for key, sign, _ in pairs if not sign]
        found = [(key, value) for key, _, value in pairs]
    else:
        wrong = [arguments[-1]] if len(arguments) % 2 else []
        found = [] if wrong else list(zip(arguments[::2], arguments[1::2], strict=True))
    if wrong:
        raise keys.SettingError(f"{wrong[0]!r} has no value; write KEY=VALUE, as in rl_v3.ppo.gamma=0.98")
    values = dict(found)
    if len(values) < len(found):
        raise keys.SettingError("a key is given more than once")
    return values
