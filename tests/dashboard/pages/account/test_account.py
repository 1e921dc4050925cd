import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from rl_training.accounts import tokens
from rl_training.accounts.models import ApiToken
from tests.api_clients import token_of
from tests.dashboard.pages.page_text import words

pytestmark = pytest.mark.django_db

SUMMARY = "/api/v1/rl-v3/dashboard/training-summary"


@pytest.fixture
def ann(policy):
    return User.objects.create_user("ann", password="secret")


@pytest.fixture
def signed_in_ann(client, ann):
    client.force_login(ann)
    return client


def ask(token):
    return Client().get(SUMMARY, headers={"Authorization": f"Token {token}"}, REMOTE_ADDR="192.0.2.7")


def test_token_is_shown_once_and_stored_as_a_digest(signed_in_ann):
    page = signed_in_ann.post("/accounts/", {"name": "laptop", "days": "30"}).content.decode()
    [token] = re.findall("qt_[A-Za-z0-9_-]{43}", page)
    assert ask(token).status_code == 200
    assert token not in str(ApiToken.objects.values())
    assert ApiToken.objects.filter(expires_at__lt=timezone.now() + timedelta(days=30)).exists()
    again = words(signed_in_ann.get("/accounts/").content.decode())
    assert token not in again
    assert "laptop" in again
    assert "from 192.0.2.7" in again


def test_user_has_several_tokens_with_different_names(signed_in_ann, ann):
    for name in ("laptop", "monitor"):
        signed_in_ann.post("/accounts/", {"name": name, "days": "90"})
    again = signed_in_ann.post("/accounts/", {"name": "laptop", "days": "90"})
    assert "The user has a token with this name." in words(again.content.decode())
    assert [token.name for token in ann.api_tokens.all()] == ["laptop", "monitor"]


def test_user_has_no_more_tokens_than_the_limit(signed_in_ann, ann, monkeypatch):
    monkeypatch.setattr(tokens, "MOST_TOKENS", 1)
    token_of(ann)
    page = signed_in_ann.post("/accounts/", {"name": "second", "days": "30"}).content.decode()
    assert "The user has 1 tokens. Revoke one first." in page
    ann.api_tokens.update(expires_at=timezone.now())
    signed_in_ann.post("/accounts/", {"name": "second", "days": "30"})
    assert ann.api_tokens.count() == 2


def test_expired_token_is_refused(ann):
    token = token_of(ann, expires_at=timezone.now())
    assert ask(token).json()["detail"] == "The token has expired."


def test_new_password_revokes_tokens_and_a_new_hash_does_not(signed_in_ann, ann, settings):
    token = token_of(ann)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    assert signed_in_ann.post("/accounts/login/", {"username": "ann", "password": "secret"}).status_code == 302
    assert User.objects.get(username="ann").password.startswith("pbkdf2")
    assert ask(token).status_code == 200
    change = {"old_password": "secret", "new_password1": "a longer one", "new_password2": "a longer one"}
    assert signed_in_ann.post("/accounts/password/", change).url == "/accounts/"
    assert ask(token).status_code == 401
    assert signed_in_ann.get("/accounts/").status_code == 200


def test_wrong_old_passwords_count_as_failed_logins(signed_in_ann):
    change = {"old_password": "wrong", "new_password1": "a longer one", "new_password2": "a longer one"}
    texts = [words(signed_in_ann.post("/accounts/password/", change).content.decode()) for _ in range(5)]
    assert "Your old password was entered incorrectly" in texts[0]
    assert "Too many failed logins" in texts[4]


def test_user_revokes_own_tokens_only(signed_in_ann, ann):
    own, other = token_of(ann), token_of(User.objects.create_user("bob"))
    pks = {token.user.username: token.pk for token in ApiToken.objects.select_related("user")}
    assert "Revoke the token" in signed_in_ann.get(f"/accounts/tokens/{pks['ann']}/revoke/").content.decode()
    signed_in_ann.post(f"/accounts/tokens/{pks['ann']}/revoke/")
    assert signed_in_ann.post(f"/accounts/tokens/{pks['bob']}/revoke/").status_code == 404
    assert [ask(token).status_code for token in (own, other)] == [401, 200]


def test_many_wrong_tokens_are_refused_and_a_right_one_is_not(ann):
    assert [ask("wrong").status_code for _ in range(23)] == [401] * 20 + [429] * 3
    assert ask(token_of(ann)).status_code == 200
