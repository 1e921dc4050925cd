import pytest

from quantum_trader.running.start_notes import start_notes


@pytest.fixture
def fine(settings, monkeypatch, tmp_path):
    """Settings that cause no notes."""
    settings.SECRET_KEY, settings.NOT_SETTINGS, settings.MARKET_DATA_ROOT = "k" * 32, [], tmp_path
    monkeypatch.setenv("ADMIN_PASSWORD", "ahk5Oov7eiph")
    monkeypatch.setenv("MARKET_DATA_ROOT", str(tmp_path))
    return settings


def test_nothing_is_said_about_a_long_password_and_a_folder(fine):
    assert list(start_notes()) == []


@pytest.mark.parametrize(
    ("setting", "value", "note"),
    [
        (
            "SECRET_KEY",
            "," * 32,
            "SECRET_KEY contains a comma, so it cannot be added to SECRET_KEY_FALLBACKS after a change.",
        ),
        ("NOT_SETTINGS", ["OTHER"], "This system has no settings with these names in .env: OTHER."),
    ],
)
def test_setting_that_a_user_may_not_have_meant_is_named(fine, setting, value, note):
    setattr(fine, setting, value)
    [said] = start_notes()
    assert said.startswith(note)


def test_password_that_a_form_would_refuse_is_named_and_not_shown(fine, monkeypatch):
    monkeypatch.setenv("ADMIN_PASSWORD", "sesame")
    [said] = start_notes()
    assert said.startswith("ADMIN_PASSWORD can be guessed: This password is too short.")
    assert "sesame" not in said


def test_market_folder_that_does_not_exist_is_named(fine, tmp_path):
    fine.MARKET_DATA_ROOT = tmp_path / "none"
    assert list(start_notes()) == [
        f"MARKET_DATA_ROOT: there is no folder {tmp_path}/none yet; the first upload makes it."
    ]
