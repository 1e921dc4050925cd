"""Types of the settings of a market about how its file is read."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from rl_training.core.market_layouts import FORMATS

Role = Literal["timestamp", "time", "open", "high", "low", "close", "volume", "adjusted_close", "symbol"]
# Before the name of a further column of a market file: as a feature, and as the role of the column.
OWN = "column:"
LONGEST_COLUMN_NAME = 200


def is_own(name: str) -> bool:
    """Return whether a feature, or a role, is a further column, as in `column:funding`."""
    return name.startswith(OWN)


def own_columns(features: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the further columns among features, in their order."""
    return tuple(sorted(name.removeprefix(OWN) for name in features if is_own(name)))


def is_column_name(name: str) -> bool:
    """Return whether a further column may have this name: without control characters, and without blanks around it."""
    printable = re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+", name) is not None
    return printable and name == name.strip() and len(name) <= LONGEST_COLUMN_NAME


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise PydanticCustomError("format", "must be one of {names}", {"names": ", ".join(FORMATS)})
    return name


def _known_zone(name: str) -> str:
    try:
        if name:
            ZoneInfo(name)
    # A name may lead to no file, to a folder or out of the folder of zones.
    except (KeyError, ValueError, OSError):
        raise PydanticCustomError(
            "zone", "must be the name of a time zone in the IANA database, such as America/New_York or Etc/GMT+5"
        ) from None
    return name


def _as_name(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_choice(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


FormatName = Annotated[str, AfterValidator(_known_format)]
ColumnName = Annotated[str, Field(min_length=1, max_length=LONGEST_COLUMN_NAME)]
ColumnNames = dict[Role, Annotated[ColumnName, BeforeValidator(_as_name, json_schema_input_type=ColumnName | int)]]
ZoneName = Annotated[str, AfterValidator(_known_zone)]
Choice = Literal["auto", "yes", "no"]
DayFirst = Annotated[Choice, BeforeValidator(_as_choice, json_schema_input_type=Choice | bool)]
