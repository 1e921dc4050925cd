"""Settings of the market: which bars to train and evaluate on."""

import json
import posixpath
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rl_training.core.base_config import BrokenRule, Config, TextForm
from rl_training.core.market_layouts import FORMATS
from rl_training.core.market_values import ColumnNames, DayFirst, FormatName, ZoneName

# 28 years of hourly bars from 1990 on. Over many more bars, a random walk of 1% per bar leaves the range of prices.
MAX_PLANTED_BARS = 250_000

# How a file is read.
READING_FIELDS = (
    *("format", "columns", "timezone", "day_first", "decimal", "skip_rows", "adjust", "bad_rows", "suspicious"),
)
FILE_FIELDS = ("symbol", *READING_FIELDS)
# The settings that have an effect with one source only; all other settings have an effect with every source.
SOURCE_FIELDS = {
    "sp500": (),
    "nasdaq": (),
    "file": ("path", *FILE_FIELDS),
    "exchange": ("exchange", "symbol", "timeframe", "bars"),
    "planted": ("bars", "planted_kind", "planted_phi", "planted_drift", "planted_switching", "planted_seed"),
}
# The settings of a planted market that have an effect with one kind only.
PLANTED_FIELDS = {
    "ar1": ("planted_phi",),
    "regime": ("planted_drift", "planted_switching"),
    "independent": (),
}
# Every release has stored these settings of a market.
FIRST_FIELDS = frozenset(("source", "path", "exchange", "symbol", "timeframe", "bars", "train_fraction"))
# The values of READING_FIELDS with which a file that an older release stored keeps its bars.
AS_BEFORE = {"format": "plain", "adjust": "none", "suspicious": "warn"}


def with_effect(market: Any) -> Any:
    """Return a stored market without the settings that have no effect with its source and, if planted, its kind."""
    source = market.get("source") if isinstance(market, dict) else None
    if not isinstance(source, str) or source not in SOURCE_FIELDS:
        return market
    kinds = {name for kind, names in PLANTED_FIELDS.items() if kind != market.get("planted_kind") for name in names}
    idle = {name for names in SOURCE_FIELDS.values() for name in names} - set(SOURCE_FIELDS[source]) | kinds
    return {name: value for name, value in market.items() if name not in idle}


class MarketConfig(Config):
    """The bars to train and evaluate on."""

    source: Literal["sp500", "nasdaq", "file", "exchange", "planted"] = Field(
        default="sp500",
        description=(
            "sp500 and nasdaq: daily bars of 1999-2018. file: a file with prices, such as CSV or Parquet. exchange: "
            "public bars of a crypto exchange. planted: a synthetic market whose best policy is known."
        ),
    )
    path: Annotated[
        str,
        TextForm(
            r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*",
            "must be a file name without line breaks and other control characters, such as prices.csv",
        ),
    ] = Field(
        default="",
        max_length=500,
        description="For source=file: the file, relative to MARKET_DATA_ROOT.",
    )
    exchange: Annotated[
        str, TextForm(r"[a-z0-9_]*", "must be lower-case letters, digits and underscores, such as kraken")
    ] = Field(
        default="",
        max_length=32,
        description="For source=exchange: its id in ccxt, such as kraken or binance.",
    )
    symbol: Annotated[
        str,
        TextForm(
            r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*",
            "must be a name without line breaks and other control characters, such as BTC/USD",
        ),
    ] = Field(
        default="",
        max_length=64,
        description=(
            "For source=exchange: what is traded there, as ccxt writes it, such as BTC/USD. For source=file: the "
            "instrument to read of a file that has several."
        ),
    )
    timeframe: Annotated[
        str,
        TextForm(
            r"[1-9][0-9]{0,2}[smhdw]", "must be a number from 1 to 999 and s, m, h, d or w, such as 15m, 1h or 1d"
        ),
    ] = Field(
        default="1h",
        description=(
            "For source=exchange: length of a bar that the exchange offers, a number and s, m, h, d or w, such as 15m."
        ),
    )
    bars: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description=(
            "For source=exchange: how many of the latest bars to use, 1 to 10,000,000. For source=planted: how many "
            "to make, 1 to 250,000."
        ),
    )
    planted_kind: Literal["ar1", "regime", "independent"] = Field(
        default="ar1",
        description=(
            "For source=planted, returns that deviate by 1% a bar. ar1: each depends on the previous one. regime: "
            "around a hidden drift, up or down. independent: no structure."
        ),
    )
    planted_phi: float = Field(
        default=0.2,
        ge=-0.9,
        le=0.9,
        description="For planted_kind=ar1: correlation of successive returns. -0.9 to 0.9.",
    )
    planted_drift: float = Field(
        default=0.002,
        ge=0,
        le=0.01,
        description="For planted_kind=regime: log return per bar, up or down. 0 to 0.01; 0.002 is 20 bp.",
    )
    planted_switching: float = Field(
        default=0.01,
        gt=0,
        le=0.5,
        description="For planted_kind=regime: probability per bar that the drift changes sign. Above 0, at most 0.5.",
    )
    planted_seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="For source=planted: seed of the bars. 0 to 4,294,967,295."
    )
    format: FormatName = Field(
        default="auto",
        description="For source=file: its layout. auto: recognised by the first rows. plain: as in older releases.",
        json_schema_extra={"enum": list(FORMATS)},
    )
    columns: ColumnNames = Field(
        default={},
        description=(
            "For source=file: the name or the index, from 0, of the column with a role: timestamp, time, open, high, "
            "low, close, volume, adjusted_close, symbol. Roles that are not listed are found by their names."
        ),
    )
    timezone: ZoneName = Field(
        default="",
        max_length=64,
        description=(
            "For source=file: the time zone of times without offset, such as America/New_York. Empty: the zone "
            "that the file names, else that of the layout, else UTC. Dates without a time are not shifted."
        ),
    )
    day_first: DayFirst = Field(
        default="auto",
        description="For source=file: whether 1/2/2024 is 1 February. auto: as the dates of the file decide.",
    )
    decimal: Literal["auto", ".", ","] = Field(
        default="auto", description="For source=file: the decimal sign. auto: as the prices of the file decide."
    )
    skip_rows: int = Field(
        default=0,
        ge=0,
        le=300,
        description="For source=file: number of lines to leave out at the beginning of a text file. 0 to 300.",
    )
    adjust: Literal["auto", "none"] = Field(
        default="auto",
        description=(
            "For source=file. auto: an adjusted close, if there is one, replaces the close, and the other prices are "
            "scaled by the same factor. none: prices are used as they are."
        ),
    )
    bad_rows: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="For source=file: the action on invalid rows and bad ticks. drop: they are left out and counted.",
    )
    suspicious: Literal["refuse", "warn"] = Field(
        default="refuse",
        description=(
            "For source=file. refuse: a file with an unadjusted split or a bad tick is refused. warn: both are "
            "reported, as other suspicions always are."
        ),
    )
    train_fraction: float = Field(
        default=0.8,
        ge=0.1,
        le=1.0,
        description="Share of the bars, from the first on, to train on; the rest is held out for evaluation. 0.1 to 1; "
        "with 1 there is no evaluation.",
    )

    @model_validator(mode="before")
    @classmethod
    def keep_meaning(cls, value: Any) -> Any:
        """Add AS_BEFORE to a market of a file that an older release stored, so that its bars stay the same.

        Such a market has all of FIRST_FIELDS and none of READING_FIELDS.
        """
        if not isinstance(value, dict) or value.get("source") != "file":
            return value
        stored_before = value.keys() >= FIRST_FIELDS and not value.keys() & set(READING_FIELDS)
        return {**value, **AS_BEFORE} if stored_before else value

    def broken_rules(self) -> Iterator[BrokenRule]:
        if self.source == "file" and not self.path:
            yield BrokenRule(("path", "source"), "required when source is file; name a file under MARKET_DATA_ROOT")
        if self.source == "exchange" and not self.exchange:
            yield BrokenRule(
                ("exchange", "source"), "required when source is exchange; an id that ccxt knows, such as kraken"
            )
        if self.source == "exchange" and not self.symbol:
            yield BrokenRule(
                ("symbol", "source"), "required when source is exchange; what is traded there, such as BTC/USD"
            )
        if self.source == "exchange" and not re.fullmatch("[!-~]*", self.symbol):
            yield BrokenRule(
                ("symbol", "source"), "must be letters, digits and signs of ASCII without spaces, such as BTC/USD"
            )
        if self.source == "planted" and self.bars > MAX_PLANTED_BARS:
            yield BrokenRule(
                ("bars", "source"), f"a planted market has at most {MAX_PLANTED_BARS:,} bars, got {self.bars:,}"
            )

    @property
    def label(self) -> str:
        """The name of the market for users, with the instrument of a file; it says if the market is synthetic."""
        match self.source:
            case "file":
                # The plain layout has one instrument and ignores the setting.
                return f"{self.path} {self.symbol}" if self.symbol and self.format != "plain" else self.path
            case "exchange":
                return f"{self.exchange} {self.symbol} {self.timeframe}"
            case "planted":
                return f"synthetic: {self._planted_label}" + (f", seed {self.planted_seed}" * bool(self.planted_seed))
        return self.source

    def label_beside(self, other: "MarketConfig") -> str:
        """Return the label for a text that has named `other`; equal labels of different markets are told apart."""
        same_name = self.label == other.label and self.identity != other.identity
        return f"{self.label} with other settings" if same_name else self.label

    @property
    def ledger_label(self) -> str:
        """The name of the market in the ledger of trials, where a file is one market."""
        return self.path if self.source == "file" else self.label

    @property
    def identity(self) -> tuple[Any, ...]:
        """The settings that decide which bars the market has.

        An exchange's number of bars only decides how far back they go, and `suspicious` whether bars are used at all.
        """
        without = {("exchange", "bars"), ("file", "suspicious")}
        names = [name for name in SOURCE_FIELDS[self.source] if (self.source, name) not in without]
        values = (getattr(self, name) for name in names)
        return (self.source, *(tuple(sorted(value.items())) if isinstance(value, dict) else value for value in values))

    @property
    def effective_fields(self) -> tuple[str, ...]:
        """The settings that have an effect with the source and, of a planted market, with its kind."""
        other = {name for kind, names in PLANTED_FIELDS.items() if kind != self.planted_kind for name in names}
        return tuple(name for name in SOURCE_FIELDS[self.source] if name not in other)

    def ledger_key(self, path: str = "") -> str:
        """Return the SHA-256 of what names the market in the ledger of trials.

        The number of bars, how a file is read, and a file's instrument have no effect: a file is one market. `path` is
        the file's own path, without links, where it is known.
        """
        names = (name for name in self.effective_fields if name != "bars")
        values = {name: getattr(self, name) for name in names}
        if self.source == "file":
            values = {"path": posixpath.normpath(path or self.path)}
        return sha256(json.dumps([self.source, values], sort_keys=True).encode()).hexdigest()

    @property
    def _planted_label(self) -> str:
        match self.planted_kind:
            case "ar1":
                return f"AR(1) phi={self.planted_phi:g}"
            case "regime":
                bp = self.planted_drift * 1e4
                return f"hidden regime of {bp:g} bp up or down, switching with {self.planted_switching:.2%}"
        return "no structure"
