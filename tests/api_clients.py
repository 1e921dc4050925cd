"""Programs that ask the API, as the tests need them."""

from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.test import Client
from rest_framework.authtoken.models import Token

from rl_training import roles

RUNS = "/api/v1/runs/"
POLICY = "/api/v1/policies/rl_v3/"
JSON = "application/json"


def user_of(role: str | None) -> User:
    """A user of that role; of none, one who may only sign in. Who has the role admin may enter Django's admin."""
    if role and not Group.objects.filter(name=role).exists():
        # A test that commits empties the tables, the groups that a migration made included.
        roles.grant(apps)
    user, created = User.objects.get_or_create(username=role or "nobody", defaults={"is_staff": role == roles.ADMIN})
    if created and role:
        user.groups.add(Group.objects.get(name=role))
    return user


def client_of(role: str | None) -> Client:
    """With a token."""
    token, _ = Token.objects.get_or_create(user=user_of(role))
    return Client(raise_request_exception=False, headers={"Authorization": f"Token {token}"})


def patch(client: Client, change: Any, etag: str = "*", path: str = POLICY) -> Any:
    return client.patch(path, change, content_type=JSON, headers={"If-Match": etag})


def trigger(client: Client, key: str | None = None, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return client.post(RUNS, {"policy": "rl_v3"} | body, content_type=JSON, headers=headers)


def problem(response: Any, status: int) -> dict[str, Any]:
    """The members of the answer, once it is seen to be a problem of that status."""
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found.keys() >= {"type", "title", "detail", "instance"}
    return found
