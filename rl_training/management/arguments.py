"""Helpers with which commands read their arguments."""

import argparse
import re

# argparse reads arguments that begin with a prefix character as options. No argument can begin with NUL, so with this
# prefix all arguments are values, -1e-5 too.
NO_OPTIONS = "\0"
NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\Z", re.IGNORECASE)


def accept_negative_numbers(parser: argparse.ArgumentParser) -> None:
    """Let the parser read -1e-5 as a number, like -0.00001; argparse's own pattern does not allow exponents."""
    parser._negative_number_matcher = NEGATIVE_NUMBER
