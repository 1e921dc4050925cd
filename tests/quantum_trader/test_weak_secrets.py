"""Web and Flower report weak secrets at their start, however they are started."""

import os
import subprocess
import sys

import pytest

from quantum_trader.environment.weak_secrets import weak_logins, weak_secrets

GUESSED = "has fewer than {} characters, so it can be guessed: use a long random value."
# The programs that docker-compose starts, up to the point where they would listen.
WEB = "import quantum_trader.asgi"
FLOWER = "import runpy; runpy.run_path('rl_training/accounts/flower_config.py')"


def test_nothing_is_said_about_long_secrets(settings):
    settings.SECRET_KEY, settings.METRICS_TOKEN, settings.FLOWER_LOGINS = "k" * 32, "", ["ann:ahk5Oov7eiph"]
    assert [*weak_secrets(), *weak_logins()] == []


@pytest.mark.parametrize(
    ("setting", "value", "note"),
    [
        ("SECRET_KEY", "k" * 31, f"SECRET_KEY {GUESSED.format(32)}"),
        ("METRICS_TOKEN", "secret", f"METRICS_TOKEN {GUESSED.format(16)}"),
    ],
)
def test_secret_that_is_too_short_is_named(settings, setting, value, note):
    settings.SECRET_KEY, settings.METRICS_TOKEN = "k" * 32, ""
    setattr(settings, setting, value)
    assert list(weak_secrets()) == [note]


def test_weak_password_of_flower_is_named_and_not_shown(settings):
    settings.FLOWER_LOGINS = ["ann:sesame", "bob:ahk5Oov7eiph"]
    [said] = weak_logins()
    assert said.startswith("FLOWER_BASIC_AUTH, the password of ann, can be guessed: This password is too short.")
    assert "sesame" not in said


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "said", "unsaid"), [(WEB, "METRICS_TOKEN has fewer", "FLOWER"), (FLOWER, "of ann, can be", "METRICS")]
)
def test_process_reports_the_weak_secrets_that_it_uses(tmp_path, program, said, unsaid):
    weak = {"METRICS_TOKEN": "secret", "FLOWER_BASIC_AUTH": "ann:sesame"}
    environment = (
        os.environ
        | weak
        | {"DEBUG": "1", "STATE_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "quantum_trader.settings"}
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    assert said in ended.stdout
    assert unsaid not in ended.stdout
