"""Authentication of API clients by token."""

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import models
from django.http import HttpRequest
from rest_framework import authentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from dashboard.compiled_queries import CompiledQuery
from rl_training.accounts import failures, guessing
from rl_training.accounts.backend import origin_of


def columns(model: type[models.Model]) -> list[str]:
    """Return the names of the columns in the order that `Model.from_db` expects."""
    return [field.attname for field in model._meta.concrete_fields]


TOKEN_COLUMNS, USER_COLUMNS = columns(Token), columns(User)
TOKENS = CompiledQuery(
    lambda key: Token.objects.filter(key=key).values(*TOKEN_COLUMNS, *(f"user__{name}" for name in USER_COLUMNS))
)


class TooManyWrongTokens(Throttled):
    """The address has sent too many wrong tokens; further ones are refused for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds, "Too many wrong tokens from this address.")
        self.seconds = seconds


class TokenAuthentication(authentication.TokenAuthentication):
    """DRF's token authentication with a compiled query, which reads the token together with its user.

    After many wrong tokens from an address, further wrong ones are refused for a while. A right token is always taken:
    nobody finds one by guessing, and so a program with an expired token does not lock out others at its address.
    """

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, Token] | None:
        try:
            return super().authenticate(request)
        except AuthenticationFailed:
            if wait := note_wrong_token(request._request):
                raise TooManyWrongTokens(wait) from None
            raise

    def authenticate_credentials(self, key: str) -> tuple[AbstractBaseUser, Token]:
        rows = TOKENS.rows(key)
        if not rows:
            raise AuthenticationFailed("Invalid token.")
        [row] = rows
        using = Token.objects.db
        user = User.from_db(using, USER_COLUMNS, [row[f"user__{name}"] for name in USER_COLUMNS])
        if not user.is_active:
            raise AuthenticationFailed("User inactive or deleted.")
        token = Token.from_db(using, TOKEN_COLUMNS, [row[name] for name in TOKEN_COLUMNS])
        token.user = user
        return user, token


def note_wrong_token(request: HttpRequest) -> float:
    """Count a wrong token. Return for how many seconds it is refused, 0.0 if it was only wrong."""
    origin = origin_of(request)
    wait = guessing.reserve(guessing.token_buckets(origin))
    failures.note("API token", "", origin, wait)
    return wait
