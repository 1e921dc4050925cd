"""The admin in a real browser: the contrast of its pages, and the form of a policy. Flower under its headers."""

from functools import partial

import pytest

from benchmarks.system.running_system import running
from quantum_trader import health
from quantum_trader.processes import COMMANDS, Service
from quantum_trader.state_dir import free_ports
from rl_training.core.market_config import FILE_FIELDS, MarketConfig
from tests.browser.pages import WIDTHS
from tests.browser.site import HOST
from tests.browser.test_pages import violations
from tests.waiting import wait_for

LIST = "/admin/rl_training/policystore/"


@pytest.fixture
def policy(system, complaints):
    complaints.expected = ("favicon.ico",)
    [policy] = system.query("SELECT id FROM rl_training_policystore WHERE name = 'trend_daily'")
    return policy["id"]


def assert_no_violation(page):
    """Assert that there is no violation in either colour scheme; the schemes differ only in colours."""
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        # A function in a page is a string for the browser, which the Content-Security-Policy forbids.
        wait_for(lambda: page.evaluate("document.getAnimations().length") == 0, "the transitions to end")
        assert violations(page, **rules) == [], f"{page.url}, {scheme}"


def test_admin_pages_have_no_accessibility_violation(open_page, system, policy):
    page = open_page("/admin/", "admin", viewport=WIDTHS["wide"])
    assert_no_violation(page)
    for url in (LIST, f"{LIST}add/", f"{LIST}{policy}/change/", f"{LIST}{policy}/history/"):
        page.goto(url)
        assert_no_violation(page)
    for model in ("trainingrun", "policyversion", "trainingevent"):
        [row] = system.query(f"SELECT id FROM rl_training_{model} LIMIT 1")
        for url in (f"/admin/rl_training/{model}/", f"/admin/rl_training/{model}/{row['id']}/change/"):
            page.goto(url)
            assert_no_violation(page)


def test_admin_pages_of_alerts_and_users_have_no_accessibility_violation(open_page, system, complaints):
    complaints.expected = ("favicon.ico",)
    page = open_page("/admin/", "admin", viewport=WIDTHS["wide"])
    for model in ("account", "apitoken", "failedlogins", "knownplace"):
        page.goto(f"/admin/accounts/{model}/")
        assert_no_violation(page)
    for model in ("alertrule", "alert", "alertchannel"):
        page.goto(f"/admin/alerts/{model}/")
        assert_no_violation(page)
    [rule] = system.query("SELECT id FROM alerts_alertrule LIMIT 1")
    for url in (f"alertrule/{rule['id']}/change/", "alertrule/add/", "alertchannel/add/"):
        page.goto(f"/admin/alerts/{url}")
        assert_no_violation(page)
    page.goto("/admin/accounts/knownplace/add/")
    assert_no_violation(page)
    # On a phone, the link to all rows stands in the text beside the search.
    page.set_viewport_size(WIDTHS["phone"])
    page.goto("/admin/rl_training/proposal/")
    assert_no_violation(page)


def test_errors_of_the_form_have_no_accessibility_violation(open_page, policy):
    page = open_page(f"{LIST}{policy}/change/", "admin")
    page.get_by_role("spinbutton", name="Gamma", exact=True).fill("2")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Input should be less than or equal to 1, got 2").first.wait_for()
    assert_no_violation(page)


def test_forms_with_long_choices_fit_a_tablet(open_page, policy):
    page = open_page(f"{LIST}{policy}/change/", "admin", viewport={"width": 768, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 768
    page.goto("/admin/alerts/alertrule/add/")
    box, row = (page.locator(name).bounding_box() for name in ("#id_kind", ".field-kind"))
    assert box["x"] + box["width"] <= row["x"] + row["width"]


def test_form_shows_fields_of_selected_source_and_offers_files(open_page, policy):
    page = open_page(f"{LIST}{policy}/change/", "admin")
    editor = page.locator(".field-market")

    def shown():
        rows = editor.locator(".rjf-form-row:visible :is(input, select)[name]").all()
        return [str(row.get_attribute("name")).split("§")[1] for row in rows]

    source = editor.get_by_role("combobox", name="Source")
    source.select_option("sp500")
    assert shown() == ["source", "train_fraction"]
    source.select_option("exchange")
    assert shown() == ["source", "exchange", "symbol", "timeframe", "bars", "train_fraction"]
    source.select_option("file")
    of_file = [name for name in MarketConfig.model_fields if name in FILE_FIELDS and name != "columns"]
    assert shown() == ["source", "path", *of_file, "train_fraction"]
    assert editor.get_by_text("Columns", exact=True).is_visible()
    editor.get_by_role("textbox", name="Timezone").fill("America/New_York")
    editor.get_by_role("textbox", name="Timezone").blur()
    assert "timezone=America%2FNew_York" in str(page.locator(".market-check").get_attribute("href"))
    source.select_option("sp500")
    assert not editor.get_by_text("Columns", exact=True).is_visible()
    source.select_option("file")
    files = editor.locator("input[name$=path]").get_attribute("list")
    assert page.locator(f"datalist#{files}").count() == 1


@pytest.fixture
def flower(system, prepared):
    """The URL of a Flower of the site, whose login is admin:secret."""
    [port] = free_ports(1)
    own = {"FLOWER_ADDRESS": HOST, "FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": "admin:secret"}
    service = Service("flower", COMMANDS["flower"], system.environment | own)
    start = {"start": prepared.start_service} if prepared else {}
    with running(service, system.folder, **start):
        wait_for(partial(health.answers, f"http://{HOST}:{port}/healthcheck"), "Flower to answer", 60)
        yield f"http://{HOST}:{port}"


def test_pages_of_flower_work_without_a_violation(browser, flower, complaints):
    context = browser.new_context(base_url=flower, http_credentials={"username": "admin", "password": "secret"})
    page = context.new_page()
    complaints.listen(page)
    for path in ("/workers", "/tasks", "/broker"):
        response = page.goto(path)
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        page.wait_for_load_state("networkidle")
    page.goto("/workers")
    page.locator("#workers-table a, table a").first.click()
    page.get_by_role("heading", name="Worker pool options").wait_for()
    context.close()
