import pytest

from tests.dashboard.pages.page_text import words

pytestmark = pytest.mark.django_db
STRICT = "default-src 'none'; script-src 'self'; style-src 'self';"


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
    assert wrong.headers["Content-Security-Policy"].startswith(STRICT)


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
    assert answer.headers["Content-Security-Policy"].startswith(STRICT)
    assert nobody.get(url, headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
