import pytest
from django.test import Client


@pytest.fixture
def admin(admin_client: Client) -> Client:
    return admin_client
