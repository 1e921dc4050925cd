"""A user with an authenticator app, and the codes that the app shows."""

import time
from typing import Any

from django.contrib.auth.models import User
from django_otp.oath import TOTP

from rl_training.accounts import second_factor

KEY = "31" * 20


def code_of(key: str = KEY, steps: int = 0) -> str:
    """Return the code that an app with this key shows now, or `steps` time steps later."""
    app = TOTP(bytes.fromhex(key))
    app.time = time.time() + 30 * steps
    return f"{app.token():06d}"


def user_with_app(name: str, **columns: Any) -> tuple[User, list[str]]:
    """Return a user with the password `secret` and an app, and the recovery codes."""
    user = User.objects.create_user(name, password="secret", **columns)
    app, codes = second_factor.set_up(user, KEY, code_of())
    # As if the code of the step before had been given: the present code is still unused.
    app.last_t -= 1
    app.save()
    return user, codes
