"""The admin in a real browser: the contrast of its pages, and the form of a policy."""

import pytest

from tests.browser.pages import SCHEMES, WIDTHS
from tests.browser.test_pages import violations

LIST = "/admin/rl_training/policystore/"


@pytest.fixture
def policy(system, complaints):
    complaints.expected = ("favicon.ico",)
    [policy] = system.query("SELECT id FROM rl_training_policystore WHERE name = 'trend_daily'")
    return policy["id"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_admin_pages_have_no_accessibility_violation(open_page, system, policy, scheme):
    page = open_page("/admin/", "admin", color_scheme=scheme, viewport=WIDTHS["wide"])
    assert violations(page) == []
    for url in (LIST, f"{LIST}add/", f"{LIST}{policy}/change/", f"{LIST}{policy}/history/"):
        page.goto(url)
        assert violations(page) == [], url
    for model in ("trainingrun", "policyversion", "trainingevent"):
        [row] = system.query(f"SELECT id FROM rl_training_{model} LIMIT 1")
        for url in (f"/admin/rl_training/{model}/", f"/admin/rl_training/{model}/{row['id']}/change/"):
            page.goto(url)
            assert violations(page) == [], url


@pytest.mark.parametrize("scheme", SCHEMES)
def test_admin_pages_of_alerts_and_users_have_no_accessibility_violation(open_page, system, complaints, scheme):
    complaints.expected = ("favicon.ico",)
    page = open_page("/admin/password_change/", "admin", color_scheme=scheme, viewport=WIDTHS["wide"])
    assert violations(page) == []
    for model in ("alertrule", "alert", "alertchannel"):
        page.goto(f"/admin/alerts/{model}/")
        assert violations(page) == [], model
    [rule] = system.query("SELECT id FROM alerts_alertrule LIMIT 1")
    for url in (f"alertrule/{rule['id']}/change/", "alertrule/add/", "alertchannel/add/"):
        page.goto(f"/admin/alerts/{url}")
        assert violations(page) == [], url


@pytest.mark.parametrize("scheme", SCHEMES)
def test_errors_of_the_form_have_no_accessibility_violation(open_page, policy, scheme):
    page = open_page(f"{LIST}{policy}/change/", "admin", color_scheme=scheme)
    page.get_by_role("spinbutton", name="Gamma", exact=True).fill("2")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Input should be less than or equal to 1, got 2").first.wait_for()
    assert violations(page) == []


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
    assert shown() == ["source", "path", "train_fraction"]
    files = editor.locator("input[name$=path]").get_attribute("list")
    assert page.locator(f"datalist#{files}").count() == 1
