import pytest

from rl_training.core.words import count_of


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bars"), (1, "1 bar"), (1.4, "1 bar"), (1.6, "2 bars"), (1250, "1,250 bars")]
)
def test_noun_is_plural_unless_the_shown_number_is_one(number, text):
    assert count_of(number, "bar") == text
