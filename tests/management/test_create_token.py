import re
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

pytestmark = pytest.mark.django_db


def create_token(*arguments):
    output = StringIO()
    call_command("create_token", *arguments, stdout=output)
    return output.getvalue().strip()


def test_created_token_is_accepted(policy):
    User.objects.create_user("ann")
    token = create_token("ann", "laptop")
    assert re.fullmatch("qt_[A-Za-z0-9_-]{43}", token)
    headers = {"Authorization": f"Token {token}"}
    assert Client().get("/api/v1/rl-v3/dashboard/training-summary", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bob", "laptop"], "There is no user 'bob'."),
        (["ann", "laptop", "--days", "0"], "--days must be a number from 1 to 3650."),
        (["ann", "monitor"], "The user has a token with this name."),
    ],
)
def test_refused_token_says_why(arguments, message):
    User.objects.create_user("ann")
    create_token("ann", "monitor")
    with pytest.raises(CommandError, match=message):
        create_token(*arguments)
