import re

import pytest
from django.contrib.staticfiles import finders

from tests.api_clients import user_of
from tests.dashboard.pages.page_text import STRICT, directives

pytestmark = pytest.mark.django_db
DOCS = "/api/docs/"


@pytest.fixture
def signed_in(client):
    client.force_login(user_of("viewer"))
    return client


def test_page_loads_only_files_of_this_site(signed_in):
    page = signed_in.get(DOCS)
    text = page.content.decode()
    assert "style=" not in text
    assert "<style" not in text
    for url in re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', text):
        assert url.startswith(DOCS) or finders.find(url.removeprefix("/static/")), url
    # All scripts are in files.
    assert not re.search(r"<script(?! src=)", text)


def test_page_links_to_the_overview_and_without_javascript_to_the_schema(signed_in):
    text = signed_in.get(DOCS).content.decode()
    assert '<a class="brand" href="/">' in text
    assert re.search(r'<noscript>.*href="/api/schema/".*</noscript>', text)


def test_separate_script_requests_the_schema_from_this_site(signed_in):
    [url] = re.findall(r'src="(/api/docs/[^"]*)"', signed_in.get(DOCS).content.decode())
    script = signed_in.get(url)
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert '"/api/schema/"' in script.content.decode().replace("\\u002D", "-")


def test_content_security_policy_allows_only_this_site(signed_in):
    for url in (DOCS, f"{DOCS}?script="):
        assert directives(signed_in.get(url)) == STRICT | {"img-src": "'self' data:"}


@pytest.mark.parametrize("query", ["version=%0d%0aX:1", "lang=%00", "lang=../x", "script=<script>", "version=%22%3B"])
def test_unexpected_query_is_never_shown_as_markup(signed_in, query):
    response = signed_in.get(f"{DOCS}?{query}")
    assert response.status_code == 200
    assert "<script>" not in response.content.decode()
    assert signed_in.get(f"/api/schema/?{query}").status_code in (200, 400)


def test_other_accept_header_causes_no_server_error(signed_in):
    assert signed_in.get(DOCS, headers={"Accept": "application/json"}).status_code < 500
