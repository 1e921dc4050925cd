"""Flower's configuration file, which Flower executes at its start."""

import django
import structlog

django.setup()

from quantum_trader.environment.weak_secrets import weak_logins  # noqa: E402
from rl_training.accounts import flower_login  # noqa: E402

flower_login.install()
for note in weak_logins():
    structlog.get_logger("flower").warning(note)
