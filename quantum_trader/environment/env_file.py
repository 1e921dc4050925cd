"""The file `.env`: its lines become variables of the environment, with the values exactly as they are written."""

import os
import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)", re.ASCII)
# A value in quotes, and what may follow it: nothing or a comment.
SINGLE_QUOTED = re.compile(r"'([^']*)'(?:\s+#.*)?")
DOUBLE_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s+#.*)?')
COMMENT = re.compile(r"\s#.*|^#(?:\s.*)?$")


def load(path: Path) -> None:
    """Set the variables of the file that the environment does not have. A file that cannot be opened is ignored.

    Raises `ImproperlyConfigured`, which names file and line, for a line that sets no variable.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{path} is not a text file in UTF-8.") from None
    for name, value in parse(lines, path.name).items():
        os.environ.setdefault(name, value)


def parse(lines: list[str], file: str) -> dict[str, str]:
    """Return the variables that the lines set; the last line of a name counts.

    `$` has no meaning. A comment begins with `#` after a space, except in quotes. Raises `ImproperlyConfigured`.
    """
    variables = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        where = f"{file}, line {number}"
        assignment = ASSIGNMENT.fullmatch(line)
        if assignment is None:
            raise ImproperlyConfigured(f"{where} sets nothing; write NAME=value, or # before a comment.")
        name, written = assignment.groups()
        variables[name] = _value(written, f"{where}: {name}")
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
