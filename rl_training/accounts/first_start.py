"""The first superuser, whose secrets `up` prints at the start that makes the user."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.auth.models import User

from quantum_trader.environment import values
from rl_training.accounts import tokens


@dataclass(frozen=True)
class Admin:
    """The first superuser. `password` and `token` are known only at the start that creates the user."""

    name: str
    password: str = ""
    token: str = ""


def first_admin() -> Admin:
    """Return the first superuser; create this user with a password and an API token if there is none."""
    user = User.objects.filter(is_superuser=True).order_by("pk").first()
    if user is not None:
        return Admin(user.get_username())
    password = values.text("ADMIN_PASSWORD") or secrets.token_urlsafe(12)
    user = User.objects.create_superuser("admin", password=password)
    return Admin("admin", password, tokens.create(user, "first start", second_factor=False)[1])


@contextlib.contextmanager
def token_for_this_run() -> Iterator[str]:
    """Yield an API token of the first superuser, and revoke the token at the end."""
    user = User.objects.filter(is_superuser=True).earliest("pk")
    token, secret = tokens.create(user, f"up --once {secrets.token_hex(4)}", days=1, second_factor=True)
    try:
        yield secret
    finally:
        token.delete()
