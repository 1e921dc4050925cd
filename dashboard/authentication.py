"""Authentication of API clients by token."""

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import models
from django.db.models import Exists, F, OuterRef
from django.http import HttpRequest
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from dashboard.compiled_queries import CompiledQuery
from rl_training.accounts import failures, guessing, tokens
from rl_training.accounts.backend import origin_of
from rl_training.accounts.models import ApiToken, digest_of


def columns(model: type[models.Model]) -> list[str]:
    """Return the names of the columns in the order that `Model.from_db` expects."""
    return [field.attname for field in model._meta.concrete_fields]


TOKEN_COLUMNS, USER_COLUMNS = columns(ApiToken), columns(User)
TOKENS = CompiledQuery(
    lambda digest: ApiToken.objects.filter(digest=digest).values(
        *TOKEN_COLUMNS,
        *(f"user__{name}" for name in USER_COLUMNS),
        factor_required=F("user__account__second_factor_required"),
        has_factor=Exists(TOTPDevice.objects.filter(user=OuterRef("user"), confirmed=True)),
    )
)


class TooManyWrongTokens(Throttled):
    """An IP address has sent too many wrong tokens; further wrong tokens are refused for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds, "Too many wrong tokens from this address.")
        self.seconds = seconds


class TokenAuthentication(authentication.TokenAuthentication):
    """Token authentication with a compiled query, which reads the token together with its user.

    After many wrong tokens from an IP address, further wrong tokens get 429 for a while. A right token is always
    accepted: a token cannot be guessed, and a program with an expired token must not lock out others at its address.
    """

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        try:
            found: tuple[AbstractBaseUser, ApiToken] | None = super().authenticate(request)
        except AuthenticationFailed:
            if wait := note_wrong_token(request._request):
                raise TooManyWrongTokens(wait) from None
            raise
        if found is not None:
            tokens.note_use(found[1].pk, found[1].last_used_at, origin_of(request._request).address)
        return found

    def authenticate_credentials(self, key: str) -> tuple[AbstractBaseUser, ApiToken]:
        rows = TOKENS.rows(digest_of(key))
        if not rows:
            raise AuthenticationFailed("Invalid token.")
        [row] = rows
        using = ApiToken.objects.db
        user = User.from_db(using, USER_COLUMNS, [row[f"user__{name}"] for name in USER_COLUMNS])
        if not user.is_active:
            raise AuthenticationFailed("User inactive or deleted.")
        if row["expires_at"] is not None and row["expires_at"] <= timezone.now():
            raise AuthenticationFailed("The token has expired.")
        if (row["factor_required"] or row["has_factor"]) and not row["second_factor"]:
            raise AuthenticationFailed("The user needs a second factor, and the token was made without one.")
        token = ApiToken.from_db(using, TOKEN_COLUMNS, [row[name] for name in TOKEN_COLUMNS])
        token.user = user
        return user, token


def note_wrong_token(request: HttpRequest) -> float:
    """Count a wrong token. Return for how many seconds wrong tokens are refused, 0.0 if they are not."""
    origin = origin_of(request)
    wait = guessing.reserve(guessing.token_buckets(origin))
    failures.note("API token", "", origin, wait)
    return wait
