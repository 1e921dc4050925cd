import pytest

from quantum_trader.text import parse_whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("9223372036854775807", 2**63 - 1)])
def test_ascii_digits_are_a_number(text, number):
    assert parse_whole_number(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "1_000", "٣", "²", "9223372036854775808", "9" * 5000])
def test_other_text_is_no_number(text):
    assert parse_whole_number(text) is None
