"""Ages advance in the browser, and old values are marked. No test reloads a page to see a change."""

import re

from playwright.sync_api import expect

from tests.waiting import wait_for

# Milliseconds: beat is silent after 15 s, and a page that polls is old after 10 s.
SOON = 40_000
BEAT = '[data-heartbeat="beat"]'
ALERT = """
    INSERT INTO alerts_alert (rule_id, policy_id, kind, message, opened_at)
    SELECT id, policy_id, kind, 'the newest alert', '{}' FROM alerts_alertrule
    WHERE id NOT IN (SELECT rule_id FROM alerts_alert WHERE resolved_at IS NULL) LIMIT 1
"""


def test_alert_opened_meanwhile_changes_the_status_sentence(open_page, system):
    page = open_page("/")
    heading = page.locator("#verdict h1")
    expect(heading).to_contain_text("; 1 alert is open")
    expect(page.locator("[data-connection]")).to_have_text("Live")
    system.query(ALERT.format("2026-01-01 00:00:00"))
    expect(heading).to_contain_text("; 2 alerts are open")
    expect(page.locator("#verdict")).to_contain_text("the newest alert")
    system.query("DELETE FROM alerts_alert WHERE message = 'the newest alert'")
    expect(heading).to_contain_text("; 1 alert is open")


def test_age_of_a_dead_beat_advances_until_it_is_silent(open_page, system):
    page = open_page("/")
    beat = page.locator(f"#verdict {BEAT}")
    expect(beat.locator("time")).to_have_text(re.compile("^[0-9] s$"))
    system.stop("beat")
    try:
        expect(beat.locator("time")).to_have_text(re.compile("^1[0-4] s$"), timeout=SOON)
        expect(page.locator("#verdict")).to_contain_text("Beat silent", timeout=SOON)
        expect(page.locator("#verdict h1")).to_contain_text("Training is held up", timeout=SOON)
        last = beat.locator("time").inner_text()
        expect(beat.locator("time")).not_to_have_text(last)
    finally:
        system.start("beat")
    expect(page.locator("#verdict")).not_to_contain_text("Beat silent", timeout=SOON)


def test_live_beat_keeps_a_young_age(open_page):
    page = open_page("/")
    age = page.locator(f"#verdict {BEAT} time")
    first = age.get_attribute("data-since")
    wait_for(lambda: page.wait_for_timeout(200) or age.get_attribute("data-since") != first, "a newer heartbeat", 20)
    assert re.fullmatch("[0-9] s", age.inner_text())


def test_page_without_an_answer_is_marked_as_old(open_page, system, complaints):
    complaints.expected = ("net::ERR_", "Failed to fetch")
    page = open_page("/")
    expect(page.locator("[data-connection]")).to_have_text("Live")
    system.stop("web")
    note = page.locator("[data-outdated]")
    expect(note).to_contain_text(re.compile("shows the state of [0-9]+ s ago"), timeout=SOON)
    before = note.inner_text()
    expect(note).not_to_have_text(before)
    expect(page.locator(f"#verdict {BEAT}")).to_contain_text("silent", timeout=SOON)
    system.start("web")
    expect(note).to_be_hidden(timeout=SOON)
