"""The file `.env`: its lines become variables of the environment, with the values exactly as they are written."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)", re.ASCII)
# A value in quotes, and what may follow it: nothing or a comment.
SINGLE_QUOTED = re.compile(r"'([^']*)'(?:\s+#.*)?")
DOUBLE_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s+#.*)?')
COMMENT = re.compile(r"\s#.*|^#(?:\s.*)?$")
# A line of .env.example that sets a variable or, as a comment, shows its default.
LISTED = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=", re.MULTILINE)
# Celery takes these variables, and every option of its commands as CELERY_COMMAND_OPTION, before the settings.
OF_CELERY = (
    *("CELERY_BROKER_", "CELERY_RESULT_BACKEND", "CELERY_CONFIG_MODULE", "CELERY_LOADER", "CELERY_APP"),
    *("CELERY_WORKER_", "CELERY_BEAT_", "CELERY_FLOWER_"),
)
# Two names that share this part of their characters are one name with a typing error. POSTGRES_USER, which other
# programs read, and POSTGRES_PASSWORD share 0.73.
SAME_NAME = 0.75
# The environment holds names of other programs, such as TEST_DATABASE_URL, which shares 0.83 with DATABASE_URL.
SAME_NAME_IN_ENVIRONMENT = 0.9


def load(path: Path, example: Path) -> list[str]:
    """Set the variables of the file that the environment does not have, and return those that `example` does not list.

    Without the file, as in a container, only the names in the environment are checked. Raises `ImproperlyConfigured`
    for a file that cannot be read, a line that sets no variable, a name that is nearly the name of a setting, and a
    variable of Celery's.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        unlisted(os.environ, example, "the environment", SAME_NAME_IN_ENVIRONMENT)
        refuse_celery_variables()
        return []
    except OSError as error:
        raise ImproperlyConfigured(
            f"{path} cannot be read: {error.strerror}. Make it a file that this user can read, or remove it."
        ) from None
    try:
        # Lines end as on Unix, on Windows or, with a lone carriage return, as on an old Mac.
        lines = re.split("\r\n?|\n", content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{path} is not a text file in UTF-8.") from None
    variables = parse(lines, path.name)
    unknown = unlisted(variables, example, path.name)
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    refuse_celery_variables()
    return unknown


def unlisted(names: Iterable[str], example: Path, file: str, same_name: float = SAME_NAME) -> list[str]:
    """Return the names that `example` does not list; they may belong to other programs.

    Raises `ImproperlyConfigured` for a name that is nearly a listed name: a misspelt setting would have no effect.
    """
    if not example.exists():
        return []
    listed = LISTED.findall(example.read_text(encoding="utf-8"))
    unknown = [name for name in names if name not in listed]
    for name in unknown:
        if near := difflib.get_close_matches(name.upper(), listed, n=1, cutoff=same_name):
            raise ImproperlyConfigured(f"{file}: there is no setting {name}; did you mean {near[0]}?")
    return unknown


def parse(lines: list[str], file: str) -> dict[str, str]:
    """Return the variables that the lines set; the last line of a name counts.

    `$` has no meaning. A comment begins with `#` after a space, except in quotes. Raises `ImproperlyConfigured`, also
    for an empty line of a name that an earlier line sets: it is a line of .env.example below the user's own.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        where = f"{file}, line {number}"
        assignment = ASSIGNMENT.fullmatch(line)
        if assignment is None:
            raise ImproperlyConfigured(f"{where} sets nothing; write NAME=value, or # before a comment.")
        name, written = assignment.groups()
        value = _value(written, f"{where}: {name}")
        if variables.get(name) and not value:
            raise ImproperlyConfigured(
                f"{where} empties {name}, which an earlier line sets; remove one of the two lines."
            )
        variables[name] = value
    return variables


def _value(written: str, where: str) -> str:
    if "\0" in written:
        raise ImproperlyConfigured(f"{where} contains a NUL character.")
    if not written.lstrip().startswith(("'", '"')):
        return COMMENT.sub("", written, count=1).strip()
    written = written.lstrip()
    quoted = (SINGLE_QUOTED if written[0] == "'" else DOUBLE_QUOTED).fullmatch(written)
    if quoted is None:
        raise ImproperlyConfigured(f"{where} begins with a quote, so it must end with the same quote.")
    if written[0] == "'":
        return quoted[1]
    # A backslash makes the next character an ordinary one; \n, \r and \t stay as they are written.
    return re.sub(r"\\([^nrt])", r"\1", quoted[1])


def refuse_celery_variables() -> None:
    """Raise `ImproperlyConfigured` for a variable that Celery would read instead of the settings."""
    for name in os.environ:
        if name.startswith(OF_CELERY) and os.environ[name]:
            raise ImproperlyConfigured(
                f"{name} is set in the environment or in .env, and Celery would use it instead of the settings. Remove "
                "it: REDIS_URL names the broker, and WORKER_CONCURRENCY the number of processes."
            )
