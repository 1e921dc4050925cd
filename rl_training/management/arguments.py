"""Helpers with which commands read their arguments."""

import argparse
import re
from collections.abc import Callable

from quantum_trader.logs import escape_control_characters
from quantum_trader.text import parse_whole_number

# argparse reads arguments that begin with a prefix character as options. No argument can begin with NUL, so with this
# prefix all arguments are values, -1e-5 too.
NO_OPTIONS = "\0"
NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\Z", re.IGNORECASE)


def accept_negative_numbers(parser: argparse.ArgumentParser) -> None:
    """Let the parser read -1e-5 as a number, like -0.00001; argparse's own pattern does not allow exponents."""
    parser._negative_number_matcher = NEGATIVE_NUMBER


def add_run_id(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add the argument `run_id`. Bytes that are not UTF-8 are escaped, because the database cannot look them up."""
    parser.add_argument("run_id", type=escape_control_characters, metavar="RUN_ID", help=meaning)


def number_option(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return the argparse type of an option that takes a whole number from `minimum` to `maximum`."""

    def parse(text: str) -> int:
        number = parse_whole_number(text)
        if number is None or not minimum <= number <= maximum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum:,} to {maximum:,}")
        return number

    return parse
