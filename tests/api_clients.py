"""Clients of the API for tests."""

from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from django.utils.crypto import get_random_string

from rl_training import roles
from rl_training.accounts import tokens
from rl_training.accounts.models import ApiToken

RUNS = "/api/v1/runs/"
POLICY = "/api/v1/policies/rl_v3/"
JSON = "application/json"


def user_of(role: str | None) -> User:
    """Return a user with the role, or with None a user who may only sign in. Admins may enter Django's admin."""
    if role and not Group.objects.filter(name=role).exists():
        # Transactional tests empty all tables, including the groups that a migration creates.
        roles.grant(apps)
    user, created = User.objects.get_or_create(username=role or "nobody", defaults={"is_staff": role == roles.ADMIN})
    if created and role:
        user.groups.add(Group.objects.get(name=role))
    return user


def client_of(role: str | None) -> Client:
    """Return a client that sends the API token of a user with the role."""
    return Client(raise_request_exception=False, headers={"Authorization": f"Token {token_of(user_of(role))}"})


def token_of(user: User, **columns: Any) -> str:
    """Return a new API token of the user, which was used just now: the next use writes nothing."""
    token, secret = tokens.create(user, get_random_string(8), second_factor=False)
    ApiToken.objects.filter(pk=token.pk).update(**{"last_used_at": timezone.now()} | columns)
    return secret


def patch(client: Client, change: Any, etag: str = "*", path: str = POLICY) -> Any:
    """Return the response to a change of a policy's settings."""
    return client.patch(path, change, content_type=JSON, headers={"If-Match": etag})


def trigger(client: Client, key: str | None = None, **body: Any) -> Any:
    """Return the response to a request that triggers a run of `rl_v3`."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    return client.post(RUNS, {"policy": "rl_v3"} | body, content_type=JSON, headers=headers)


def problem(response: Any, status: int) -> dict[str, Any]:
    """Return the members of the response after asserting that it is a problem with the status."""
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found.keys() >= {"type", "title", "detail", "instance"}
    return found
