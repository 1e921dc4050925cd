import re

import pytest
from django.test import Client

from rl_training.accounts.models import KnownPlace
from tests.dashboard.pages.page_text import STRICT, directives, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def form(viewer):
    """The login form of the viewer."""
    viewer.set_password("secret")
    viewer.save()
    return {"username": "viewer", "password": "secret"}


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [("/runs/", "/runs/"), ("https://elsewhere.example/", "/"), ("//elsewhere.example", "/")],
)
def test_login_redirects_to_the_wanted_page_on_this_site_only(client, form, wanted, reached):
    answer = client.post("/accounts/login/", form | {"next": wanted})
    assert (answer.status_code, answer.url) == (302, reached)


def test_login_with_a_wrong_password_is_refused(client, form):
    wrong = client.post("/accounts/login/", form | {"password": "other"})
    assert "Please enter a correct username and password" in words(wrong.content.decode())
    assert directives(wrong) == STRICT


def test_logout_requires_a_post(client, viewer):
    client.force_login(viewer)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").url == "/accounts/login/"
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("url", ["/", "/policies/rl_v3/"])
def test_anonymous_user_is_redirected_to_the_login(client, policy, url):
    response = client.get(url)
    assert response.status_code == 302
    assert response.url == f"/accounts/login/?next={url}"


@pytest.mark.parametrize("url", ["/", "/policies/rl_v3/"])
def test_user_without_a_role_is_refused(signed_in, policy, url):
    nobody = signed_in(None)
    answer = nobody.get(url)
    assert answer.status_code == 403
    assert "rl_v3" not in answer.content.decode()
    assert directives(answer) == STRICT
    assert nobody.get(url, headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"


def guess(client, password, user="viewer", address="192.0.2.1"):
    return client.post("/accounts/login/", {"username": user, "password": password}, REMOTE_ADDR=address)


def test_further_guesses_are_refused_even_if_one_is_right(client, form, caplog):
    answers = [guess(client, "wrong", address=f"192.0.2.{host}") for host in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 6
    refused = guess(client, "secret", address="192.0.2.99")
    assert (refused.status_code, 0 < int(refused.headers["Retry-After"]) <= 31) == (429, True)
    assert "Too many failed logins. Try again in " in words(refused.content.decode())
    lines = [record.msg for record in caplog.records if record.name == "accounts"]
    seen = [(line["event"], line["user"], line["address"]) for line in lines if "user" in line]
    assert seen[3:6] == [
        ("Login failed", "viewer", "192.0.2.3"),
        ("Login failed", "viewer", "192.0.2.4"),
        ("Login refused after many failures", "viewer", "192.0.2.5"),
    ]


def test_login_from_a_known_address_is_not_locked_out(client, form):
    assert guess(client, "secret", address="198.51.100.1").status_code == 302
    elsewhere = Client()
    for host in range(20):
        guess(elsewhere, "wrong", address=f"192.0.2.{host}")
    assert guess(elsewhere, "secret").status_code == 429
    assert guess(Client(), "secret", address="198.51.100.1").status_code == 302


def test_browser_is_known_by_a_cookie_that_scripts_cannot_read(client, form):
    cookie = guess(client, "secret").cookies["known_browser"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert "viewer" not in cookie.value
    browser = cookie.value.partition(":")[0]
    assert KnownPlace.objects.filter(user="viewer", place=f"browser {browser}").exists()


def test_unknown_user_gets_the_answer_of_a_known_one(client, form):
    def text(user):
        answers = [guess(Client(), "wrong", user, f"192.0.2.{host}") for host in range(8)]
        texts = [words(answer.content.decode()).replace(user, "NAME") for answer in answers]
        return [
            (answer.status_code, re.sub(r"\d+ seconds", "", text)) for answer, text in zip(answers, texts, strict=True)
        ]

    assert text("viewer") == text("unknown")


def test_admin_uses_the_login_of_the_site(client):
    assert client.get("/admin/").url == "/admin/login/?next=/admin/"
    assert client.get("/admin/login/?next=/admin/").url == "/accounts/login/?next=/admin/"
