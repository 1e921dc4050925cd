"""Flower's configuration file, which Flower executes at its start."""

import django

django.setup()

from rl_training.accounts import flower_login  # noqa: E402

flower_login.install()
