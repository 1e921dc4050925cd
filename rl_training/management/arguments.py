"""How commands read their arguments."""

import argparse
import re

# argparse takes arguments that begin with one of its prefix characters as options. No argument can hold NUL, so that
# all arguments of an action with this prefix are values, -1e-5 too.
NO_OPTIONS = "\0"
NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\Z", re.IGNORECASE)


def accept_negative_numbers(parser: argparse.ArgumentParser) -> None:
    """Let the parser take -1e-5 for a number, as it takes -0.00001; its own pattern knows no exponent."""
    parser._negative_number_matcher = NEGATIVE_NUMBER
