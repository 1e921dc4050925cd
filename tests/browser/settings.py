"""The project's settings for the real processes that browsers look at: logins that cost nothing."""

from quantum_trader.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
