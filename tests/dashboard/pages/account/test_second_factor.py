"""The second factor: how users set it up and give it, and that no request works without it."""

import base64
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from dashboard.scope_user import permission
from rl_training.accounts import tokens
from rl_training.accounts.models import Account, KnownPlace
from tests.accounts.factors import KEY, code_of, user_with_app
from tests.api_clients import token_of, user_of

pytestmark = pytest.mark.django_db

SUMMARY = "/api/v1/rl-v3/dashboard/training-summary"
LOGIN, CODE, SET_UP = "/accounts/login/", "/accounts/login/code/", "/accounts/second-factor/"


@pytest.fixture
def ann(policy):
    """A superuser with an app."""
    return user_with_app("ann", is_superuser=True, is_staff=True)[0]


def give_password(client, user="ann", page="/runs/"):
    return client.post(LOGIN, {"username": user, "password": "secret", "next": page})


def is_nobody(client):
    """Return whether the client's session is refused by pages, admin, API, account pages, streams and uploads."""
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    headers = [(b"host", b"testserver"), (b"cookie", cookies.encode())]
    assert permission({"type": "http", "method": "GET", "path": "/live/", "headers": headers}).status == 401
    answers = [client.get(path) for path in ("/", "/admin/", "/accounts/", "/accounts/password/", "/metrics", SUMMARY)]
    return [answer.status_code for answer in answers] == [302, 302, 302, 302, 401, 401]


def test_password_and_code_sign_in(client, ann):
    assert give_password(client).url == f"{CODE}?next=%2Fruns%2F"
    answer = client.post(CODE, {"code": code_of(), "next": "/runs/"})
    assert (answer.status_code, answer.url) == (302, "/runs/")
    assert [client.get(path).status_code for path in ("/", "/admin/", "/accounts/", SUMMARY)] == [200] * 4


def test_session_of_an_earlier_release_without_the_factor_is_anonymous(client, ann):
    client.force_login(ann, "django.contrib.auth.backends.ModelBackend")
    assert is_nobody(client)


def test_session_after_the_password_alone_is_anonymous(client, ann):
    give_password(client)
    assert is_nobody(client)
    assert not KnownPlace.objects.exists()


def test_wrong_codes_count_as_failed_logins(client, ann):
    give_password(client)
    codes = [client.post(CODE, {"code": "000000"}).status_code for _ in range(8)]
    assert codes == [200] * 5 + [429] * 3
    assert client.post(CODE, {"code": code_of()}).status_code == 429


def test_code_is_accepted_once(ann):
    first, second = Client(), Client()
    give_password(first)
    give_password(second)
    code = code_of()
    assert first.post(CODE, {"code": code}).status_code == 302
    assert second.post(CODE, {"code": code}).status_code == 200
    assert is_nobody(second)


def test_recovery_code_signs_in_once(policy):
    _, codes = user_with_app("ann", is_superuser=True)
    for expected in (302, 200):
        client = Client()
        give_password(client)
        assert client.post(CODE, {"code": codes[0].upper()}).status_code == expected
    assert len(set(codes)) == 10


def test_code_without_a_password_is_refused(client, ann):
    assert client.post(CODE, {"code": code_of()}).url == LOGIN


def test_password_that_was_changed_meanwhile_is_refused(client, ann):
    give_password(client)
    ann.set_password("other")
    ann.save()
    assert client.post(CODE, {"code": code_of()}).url == LOGIN


def test_password_alone_cannot_replace_the_app(client, ann):
    give_password(client)
    assert client.get(SET_UP).url == client.post(SET_UP, {"key": "x", "code": code_of()}).url == LOGIN


def test_session_from_before_the_second_factor_is_anonymous(client, policy):
    user = user_of("admin")
    client.force_login(user)
    assert client.get("/admin/").status_code == 200
    Account.objects.filter(user=user).update(second_factor_required=True)
    assert is_nobody(client)


def test_token_from_before_the_second_factor_is_refused(policy):
    user = User.objects.create_user("ann")
    old = token_of(user)
    _, new = tokens.create(user, "new", second_factor=True)

    def statuses():
        headers = ({"Authorization": f"Token {token}"} for token in (old, new))
        return [Client().get(SUMMARY, headers=each).status_code for each in headers]

    assert statuses() == [200, 200]
    Account.objects.filter(user=user).update(second_factor_required=True)
    assert statuses() == [401, 200]
    old = token_of(user_with_app("bob")[0])
    assert statuses() == [401, 200]


def test_password_change_keeps_the_second_factor(client, ann):
    give_password(client)
    assert client.post("/accounts/password/", {"old_password": "secret"}).status_code == 302
    assert is_nobody(client)
    ann.set_password("secret")
    ann.save()
    assert give_password(Client()).url.startswith(CODE)


def found(pattern, response):
    [text] = re.findall(pattern, response.content.decode())
    return text


def shown_key(response):
    return found(r'name="key" value="([^"]+)"', response)


def key_of(response):
    return base64.b32decode(found(r"Key: <code>([A-Z2-7]+)</code>", response)).hex()


def has_app(name):
    return TOTPDevice.objects.filter(user__username=name).exists()


def test_required_second_factor_is_set_up_at_the_login(client, policy):
    user = User.objects.create_user("ann", password="secret", is_superuser=True)
    Account.objects.filter(user=user).update(second_factor_required=True)
    assert give_password(client).url == f"{SET_UP}?next=%2Fruns%2F"
    assert is_nobody(client)
    page = client.get(f"{SET_UP}?next=/runs/")
    assert "<svg" in page.content.decode()
    wrong = client.post(SET_UP, {"key": shown_key(page), "code": "000000"})
    assert shown_key(wrong)
    assert key_of(wrong) == key_of(page)
    assert is_nobody(client)
    done = client.post(SET_UP, {"key": shown_key(page), "code": code_of(key_of(page)), "next": "/runs/"})
    assert len(re.findall(r"<code>[a-z2-7]{16}</code>", done.content.decode())) == 10
    assert 'href="/runs/"' in done.content.decode()
    assert client.get("/").status_code == 200
    assert client.post("/accounts/second-factor/remove/", {"code": code_of(key_of(page))}).url == "/accounts/"
    assert has_app("ann")


def test_user_sets_up_and_removes_an_app(client, policy):
    user = User.objects.create_user("ann", password="secret", is_superuser=True)
    other = Client()
    for each in (client, other):
        each.force_login(user)
    page = client.get(SET_UP)
    code = code_of(key_of(page))
    assert client.post(SET_UP, {"key": shown_key(page), "code": code}).status_code == 200
    assert client.get("/").status_code == 200
    assert is_nobody(other)
    assert client.post("/accounts/second-factor/remove/", {"code": "000000"}).status_code == 200
    assert client.post("/accounts/second-factor/remove/", {"code": code}).status_code == 200
    assert client.post("/accounts/second-factor/remove/", {"code": code_of(key_of(page), 1)}).url == "/accounts/"
    assert not has_app("ann")


def test_code_that_set_up_the_app_does_not_sign_in(client, policy):
    client.force_login(User.objects.create_user("ann", password="secret", is_superuser=True))
    page = client.get(SET_UP)
    code = code_of(key_of(page))
    client.post(SET_UP, {"key": shown_key(page), "code": code})
    give_password(other := Client())
    assert other.post(CODE, {"code": code}).status_code == 200
    assert is_nobody(other)


def test_session_from_before_the_password_does_not_set_up_the_app(policy):
    attacker, victim = Client(), Client()
    for name in ("eve", "ann"):
        user = User.objects.create_user(name, password="secret")
        Account.objects.filter(user=user).update(second_factor_required=True)
    give_password(attacker, "eve")
    victim.cookies["sessionid"] = attacker.cookies["sessionid"].value
    give_password(victim)
    assert victim.get(SET_UP).status_code == 200
    assert attacker.get(SET_UP)["Location"] == LOGIN


def test_key_of_another_user_is_refused(client, policy):
    client.force_login(User.objects.create_user("ann"))
    key = shown_key(client.get(SET_UP))
    client.force_login(User.objects.create_user("bob"))
    assert client.post(SET_UP, {"key": key, "code": code_of(KEY)}).status_code == 200
    assert not has_app("bob")
