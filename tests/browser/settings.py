"""The project's settings for the processes of a site, with a fast password hash for quick logins."""

from quantum_trader.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
