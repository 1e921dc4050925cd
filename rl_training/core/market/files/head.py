"""The first lines of a text file: its encoding, its separator, and where its header and its rows begin."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.columns import LONGEST_VALUE, shown
from rl_training.core.market.files.names import DATES, NAMES, simple_name

# Several hundred rows. A longer first line is not a header.
HEAD_BYTES = 262_144
MOST_LINES = 400
# A row has at least a timestamp and four prices.
FEWEST_COLUMNS = 5
MOST_COLUMNS = 2_000
# A semicolon comes before a comma, which may be the decimal sign, and a comma before a blank, which may be in a date.
SEPARATORS = ("\t", ";", "|", ",", " ")
# The encodings of programs that do not write UTF-8. The encoding in which the most names of columns are known is used,
# the first one if several are equal. So text with only English names is read as German and French programs write it.
ENCODINGS = {
    "Windows-1252": "cp1252",
    "Windows-1250": "cp1250",
    "Windows-1251": "cp1251",
    "Windows-1254": "cp1254",
    "GB18030": "gb18030",
    "Big5": "big5",
    "Shift JIS": "cp932",
    "EUC-KR": "cp949",
}
NUMBER = re.compile(r"[$€£¥₹]?\s?[+-]?[$€£¥₹]?[\d.,'\u2019\s]*\d[\d.,'\u2019\s]*([eE][+-]?\d+)?\s?[KMBTkmbt%$€£¥₹]?")
TIME_LIKE = re.compile(
    r"\d{9,19}(\.\d+)?|\d{8}(T|[ T]?\d{4,6})?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T,;_].*|Z|[+-]\d\d:?\d\d)?"
    r"|\w{3,9}\.? \d{1,2},? \d{4}.*|\d{1,2}[ -]\w{3,9}\.?[ -]\d{2,4}.*"
)


@dataclass(frozen=True)
class Head:
    """The first lines of a text file.

    separator  what is between the cells of a line
    lines      the cells of each line, without those before `skip_rows` and without a `sep=` line
    offsets    the number of bytes before each line
    end        the number of bytes that were read
    first_row  the index of the first line that holds numbers; the number of lines if none does
    """

    separator: str
    encoding: str
    lines: tuple[tuple[str, ...], ...]
    offsets: tuple[int, ...]
    end: int
    first_row: int

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The lines from the first row on that have as many cells as the first row."""
        rows = self.lines[self.first_row :]
        return [row for row in rows if len(row) == len(rows[0])]


def read_head(file: BufferedReader, skip_rows: int) -> Head:
    """Read the first lines of a file. Raises MarketDataError if they hold no table."""
    data = file.read(HEAD_BYTES)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise MarketDataError("is not text in UTF-8, but UTF-16 or binary; save it as CSV in UTF-8, or as Parquet")
    whole = len(data) < HEAD_BYTES
    raw = data.splitlines(keepends=True)
    if not whole:
        raw = raw[:-1]
    if not raw or (not whole and len(raw) < 2):
        raise MarketDataError(f"has a line of more than {HEAD_BYTES:,} bytes, too long for a row of prices")
    if len(raw) < 3 and data.count(b"\r") > 3:
        raise MarketDataError(
            "has lines that end with a carriage return alone; save it with the line ends of Windows or Unix"
        )
    offsets, position = [], 0
    for line in raw:
        offsets.append(position)
        position += len(line)
    encoding, texts = _decode(raw[:MOST_LINES])
    texts, offsets = texts[skip_rows:], offsets[skip_rows:]
    separator = ""
    if texts and (found := re.fullmatch(r'"?sep=(.)"?\s*', texts[0])):
        separator, texts, offsets = found.group(1), texts[1:], offsets[1:]
    # Arrow ignores empty lines too.
    kept = [(text, offset) for text, offset in zip(texts, offsets, strict=False) if text.strip()]
    if not kept:
        raise MarketDataError("has only empty lines")
    texts = [text for text, _ in kept]
    separator = separator or _separator(texts)
    # A cell in quotation marks may continue on the next line.
    begins, lines = zip(*_cells(texts, separator), strict=True)
    if (most := max(len(line) for line in lines)) > MOST_COLUMNS:
        raise MarketDataError(f"has {most:,} columns; at most {MOST_COLUMNS:,} are read")
    first_row = next((number for number, line in enumerate(lines) if _is_row(line)), len(lines))
    return Head(separator, encoding, lines, tuple(kept[begin][1] for begin in begins), position, first_row)


def is_time_like(cell: str) -> bool:
    """Return whether a cell may be a timestamp."""
    return len(cell) <= LONGEST_VALUE and TIME_LIKE.fullmatch(cell.strip()) is not None


def is_number(cell: str) -> bool:
    """Return whether a cell may be a price or a volume."""
    return NUMBER.fullmatch(cell) is not None


def words_alone(line: Sequence[str]) -> int:
    """Return how many cells of a line are words; 0 if some are numbers or times."""
    if any(is_number(cell) or is_time_like(cell) for cell in line):
        return 0
    return sum(re.search(r"[^\W\d_]", cell) is not None for cell in line)


def is_words(line: Sequence[str], row: Sequence[str]) -> bool:
    """Return whether a line has a word above each cell of a row, or all but one, which may be a number of the row."""
    return abs(len(line) - len(row)) <= 1 and words_alone(line) >= len(row) - 1


def is_utf8(data: bytes) -> bool:
    """Return whether the bytes are text in UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_utf8(block: bytes, encoding: str) -> bytes:
    """Return the bytes in UTF-8; lines that are not UTF-8, as Excel may write them, are read as `encoding`."""
    if is_utf8(block):
        return block
    lines, written = block.splitlines(keepends=True), ENCODINGS.get(encoding, "cp1252")
    return b"".join(line if is_utf8(line) else line.decode(written, "replace").encode() for line in lines)


def _decode(lines: Sequence[bytes]) -> tuple[str, list[str]]:
    data = b"".join(lines)
    if is_utf8(data):
        return "UTF-8", _split(data.decode("utf-8-sig"), len(lines))
    known = {name for names in (DATES, *NAMES.values()) for name in names}
    texts = {encoding: _text(lines, encoding) for encoding in ENCODINGS}
    names = {
        encoding: len(known & {simple_name(cell) for cell in re.split(r'[\t\r\n;|,"]+', text)})
        for encoding, text in texts.items()
    }
    encoding = max(names, key=names.__getitem__)
    # The best encoding does not know some bytes, so the text is in none of the encodings.
    if "\ufffd" in texts[encoding]:
        raise MarketDataError("is not text in UTF-8; save it as CSV in UTF-8, or as Parquet")
    return encoding, _split(texts[encoding], len(lines))


def _text(lines: Sequence[bytes], encoding: str) -> str:
    return "".join(as_utf8(line, encoding).decode("utf-8-sig", "replace") for line in lines)


def _split(text: str, count: int) -> list[str]:
    lines = re.split(r"\r\n|\n|\r", text)
    return lines[:count]


def _separator(texts: Sequence[str]) -> str:
    """Return the separator that cuts most lines into equally many cells, at least five."""
    for separator in SEPARATORS:
        if separator == " " and any("  " in text.strip() for text in texts):
            continue
        counts = Counter(len(cells) for _, cells in _cells(texts, separator))
        columns, lines = max(counts.items(), key=lambda found: (found[0] >= FEWEST_COLUMNS, found[1]))
        if columns >= FEWEST_COLUMNS and lines * 2 > len(texts):
            return separator
    for separator in SEPARATORS:
        if len(_cells(texts[-1:], separator)[0][1]) >= FEWEST_COLUMNS:
            return separator
    raise MarketDataError(
        f"is no table of prices: no separator gives {FEWEST_COLUMNS} columns; its first line is "
        f"{shown(texts[0].strip())}"
    )


def _cells(texts: Sequence[str], separator: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return the cells of each row, with the number of the text in which it begins."""
    reader, found, begin = csv.reader(texts, delimiter=separator), [], 0
    try:
        for row in reader:
            found.append((begin, tuple(cell.strip() for cell in row)))
            begin = reader.line_num
    except (csv.Error, TypeError) as error:
        raise MarketDataError(f"has no readable lines: {error}") from error
    return found


def _is_row(cells: Sequence[str]) -> bool:
    return (
        sum(len(cell) <= LONGEST_VALUE and NUMBER.fullmatch(cell) is not None for cell in cells) >= FEWEST_COLUMNS - 1
    )
