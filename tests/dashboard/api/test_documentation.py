import re

import pytest
from django.contrib.staticfiles import finders

from tests.api_clients import user_of

pytestmark = pytest.mark.django_db
DOCS = "/api/docs/"


@pytest.fixture
def signed_in(client):
    client.force_login(user_of("viewer"))
    return client


def test_its_page_is_made_of_this_sites_own_files(signed_in):
    page = signed_in.get(DOCS)
    text = page.content.decode()
    assert "style=" not in text
    assert "<style" not in text
    for address in re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', text):
        assert address.startswith(DOCS) or finders.find(address.removeprefix("/static/")), address
    # No script but those of files.
    assert not re.search(r"<script(?! src=)", text)


def test_it_leads_back_and_without_javascript_to_the_description(signed_in):
    text = signed_in.get(DOCS).content.decode()
    assert '<a class="brand" href="/">' in text
    assert re.search(r'<noscript>.*href="/api/schema/".*</noscript>', text)


def test_its_script_comes_apart_and_asks_this_site_for_the_description(signed_in):
    [address] = re.findall(r'src="(/api/docs/[^"]*)"', signed_in.get(DOCS).content.decode())
    script = signed_in.get(address)
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert '"/api/schema/"' in script.content.decode().replace("\\u002D", "-")


def test_nothing_from_elsewhere_is_let_in(signed_in):
    for address in (DOCS, f"{DOCS}?script="):
        policy = signed_in.get(address).headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("query", ["version=%0d%0aX:1", "lang=%00", "lang=../x", "script=<script>", "version=%22%3B"])
def test_what_is_asked_besides_changes_nothing(signed_in, query):
    response = signed_in.get(f"{DOCS}?{query}")
    assert response.status_code == 200
    assert "<script>" not in response.content.decode()
    assert signed_in.get(f"/api/schema/?{query}").status_code in (200, 400)


def test_who_accepts_something_else_gets_no_failure(signed_in):
    assert signed_in.get(DOCS, headers={"Accept": "application/json"}).status_code < 500
