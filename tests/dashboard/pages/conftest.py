from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.api_clients import user_of


@pytest.fixture
def viewer(db: None) -> User:
    """A user with the role viewer, who may read everything and change nothing."""
    return user_of("viewer")


@pytest.fixture
def signed_in(db: None) -> Callable[..., Client]:
    """Return a client that is signed in as a user with the role; None: a user without a role."""

    def client(role: str | None, **options: Any) -> Client:
        found = Client(**options)
        found.force_login(user_of(role))
        return found

    return client


@pytest.fixture
def page(client: Client, viewer: User) -> Callable[[str], str]:
    """Return the HTML of the page at a URL as the viewer sees it."""
    client.force_login(viewer)

    def get(url: str) -> str:
        response = client.get(url)
        assert response.status_code == 200
        return response.content.decode()

    return get
