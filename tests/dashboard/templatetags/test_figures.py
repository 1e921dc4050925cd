import pytest

from dashboard.templatetags.figures import figure, percent, seconds, share


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (figure, 0.123456, "0.1235"),
        (figure, -12345.6, "-12,346"),
        (figure, float("nan"), "-"),
        (figure, None, "-"),
        (percent, -0.12345, "-12.35 %"),
        (share, 1.0, "100 %"),
        (share, 0.9999, "99 %"),
        (share, 0.0001, "1 %"),
        (share, 0.0, "0 %"),
        (seconds, 4.25, "4.2 s"),
        (seconds, 200, "3 min 20 s"),
        (seconds, 7500, "2 h 5 min"),
    ],
)
def test_number_is_written_in_its_form(form, value, text):
    assert form(value) == text
