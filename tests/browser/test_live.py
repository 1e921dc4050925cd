"""Actions and views of an operator while a real worker trains. No test reloads a page to see a change."""

import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from tests.browser.names import LIVE, LIVE_EPISODES, PASSWORD
from tests.browser.pages import wait_until_drawn
from tests.waiting import wait_for

POLICY = f"/policies/{LIVE}/"
# Milliseconds: longer than a run takes on a busy machine. The worker of the first run may have to compile code first.
SOON = 60_000
AT_FIRST = 240_000
VERSIONS = "SELECT version.number FROM rl_training_policyversion version JOIN rl_training_policystore policy "
VERSIONS += "ON policy.id = version.policy_id WHERE policy.name = ? ORDER BY version.number"
LISTEN = """
document.addEventListener("live:progress", ({ detail }) => (window.received ??= []).push(detail.payload.episode));
"""


def train_now(page):
    page.get_by_role("link", name="Train now", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Train now").click()
    expect(page.get_by_role("status").first).to_contain_text("is queued")


def mark(page):
    """Mark the document, so that `is_marked` is false after a reload."""
    page.evaluate("window.marked = true")


def is_marked(page):
    return page.evaluate("window.marked === true")


def wait_until_idle(system):
    wait_for(lambda: all(run["finished_at"] for run in system.runs(LIVE)), "the policy's run to end", 240)


def test_login_opens_the_page_that_required_it(open_page):
    page = open_page("/runs/", None)
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_progress_of_a_run_is_shown_live_to_its_end(open_page, system):
    page, runs = open_page(POLICY), open_page(f"{POLICY}runs/")
    before = runs.locator("#charts figure.chart [data-summary]").first.inner_text()
    train_now(page)
    mark(page)
    mark(runs)
    episode = page.locator("#state [data-episode]")
    expect(episode).not_to_have_text("0", timeout=AT_FIRST)
    first = int(episode.inner_text())
    wait_for(lambda: page.wait_for_timeout(50) or int(episode.inner_text()) > first, "a later episode")
    assert 0 < first < LIVE_EPISODES
    expect(episode).to_have_count(0, timeout=SOON)
    expect(page.locator("#state")).to_contain_text("succeeded")
    expect(runs.locator("#charts figure.chart [data-summary]").first).not_to_have_text(before)
    run = system.runs(LIVE)[-1]
    assert (run["status"], run["episodes_done"]) == ("succeeded", LIVE_EPISODES)
    expect(runs.locator("#runs")).to_contain_text(run["run_id"])
    assert is_marked(page)
    assert is_marked(runs)


def test_charts_of_a_run_grow_while_it_trains(open_page, system):
    wait_until_idle(system)
    page = open_page(POLICY)
    train_now(page)
    run = system.runs(LIVE)[-1]["run_id"]
    page.goto(f"/runs/{run}/")
    mark(page)
    expect(page.locator("figure.chart")).to_have_count(8)
    pictures = page.locator("figure.chart canvas")
    expect(pictures).to_have_count(8, timeout=AT_FIRST)
    expect(page.locator("#run .outcome")).to_have_text("succeeded", timeout=SOON)
    expect(page.locator("figure.chart [data-summary]").first).to_contain_text(
        re.compile(r"after iteration \d+\. Log returns of an episode")
    )
    rewards = page.locator("figure.chart").nth(1)
    expect(rewards.locator("[data-summary]")).to_contain_text(f"{LIVE_EPISODES} episodes. Newest")
    # The tables are fetched again too.
    rewards.get_by_text("Table").click()
    expect(rewards.locator("details tbody th").first).to_have_text(str(LIVE_EPISODES))
    assert is_marked(page)


def last_slot_was_ten_minutes_ago(system):
    last, following = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-10, 50))
    policy = system.query("SELECT id FROM rl_training_policystore WHERE name = ?", LIVE)[0]["id"]
    newest = "SELECT id FROM rl_training_trainingrun WHERE policy_id = ? ORDER BY scheduled_for DESC LIMIT 1"
    statement = f"UPDATE rl_training_trainingrun SET scheduled_for = ? WHERE id = ({newest})"
    system.query(statement, f"{last:%F %T.%f}", policy)
    system.query("UPDATE rl_training_policystore SET next_run_at = ? WHERE id = ?", f"{following:%F %T.%f}", policy)


def test_countdown_follows_an_edited_interval(open_page, system):
    last_slot_was_ten_minutes_ago(system)
    watched, page = open_page(POLICY), open_page(f"{POLICY}settings/")
    mark(watched)
    countdown = watched.locator("#state [data-countdown]")
    expect(countdown).to_have_text(re.compile("^in 4[0-9] min"))
    page.wait_for_load_state()
    page.get_by_label("interval_minutes").fill("20")
    expect(page.locator("#preview li").first).to_contain_text(re.compile("in [6-9] min"))
    expect(page.locator("#preview li")).to_have_count(5)
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Save").click()
    expect(countdown).to_have_text(re.compile("^in [5-9] min"), timeout=AT_FIRST)
    expect(countdown).not_to_have_text(countdown.inner_text())
    assert is_marked(watched)


def test_run_is_cancelled(open_page, system):
    page = open_page(POLICY)
    train_now(page)
    page.locator("#state").get_by_role("link", name=re.compile("Cancel")).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    run = system.runs(LIVE)[-1]["run_id"]
    page.goto(f"/runs/{run}/")
    expect(page.locator("#run .outcome")).to_have_text("cancelled", timeout=AT_FIRST)


def test_viewer_sees_no_actions(open_page):
    page = open_page(POLICY, "viewer")
    assert page.get_by_role("link", name=re.compile("Train now|Disable|Settings")).count() == 0


def test_failed_run_shows_error_and_traceback(open_page, system):
    page = open_page("/runs/?status=failed&policy=trend_daily")
    page.get_by_role("link", name=system.stored["failed"]).click()
    expect(page.locator("#error")).to_contain_text("prices.csv, row 7: close is above high")
    page.get_by_text("Traceback", exact=True).click()
    expect(page.get_by_role("group", name="Traceback")).to_contain_text("Traceback (most recent call last):")
    page.get_by_text("Payload").last.click()
    expect(page.get_by_role("group", name=re.compile("Payload of trend_daily.training.completed"))).to_be_visible()


def test_episodes_missed_while_disconnected_are_received(open_page, system, complaints):
    complaints.expected = ("net::ERR_", "Failed to fetch")
    wait_until_idle(system)
    page = open_page(POLICY)
    page.add_init_script(LISTEN)
    train_now(page)
    mark(page)

    def received():
        return set(page.evaluate("window.received ?? []"))

    wait_for(lambda: page.wait_for_timeout(50) or len(received()) > 2, "the first episodes", 240)
    system.stop("web")
    expect(page.locator("[data-connection]")).to_have_text("Reconnecting")
    wait_until_idle(system)
    # The page was rendered with the episodes before the first received one.
    missed = set(range(min(received()), LIVE_EPISODES + 1)) - received()
    assert missed
    system.start("web")
    expect(page.locator("[data-connection]")).to_have_text("Live", timeout=SOON)
    wait_for(lambda: page.wait_for_timeout(50) or not missed - received(), "the episodes that were missed", 30)
    expect(page.locator("#state")).to_contain_text("succeeded")
    assert is_marked(page)


def train_two_versions(open_page, system):
    for _ in range(2):
        wait_until_idle(system)
        if len(system.query(VERSIONS, LIVE)) < 2:
            train_now(open_page(POLICY))
    wait_until_idle(system)


def test_two_versions_are_selected_and_compared(open_page, system):
    train_two_versions(open_page, system)
    page = open_page(f"{POLICY}versions/")
    page.get_by_label("Version 1", exact=True).check()
    page.get_by_label("Version 2", exact=True).check()
    page.get_by_role("button", name="Compare the selected versions").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    # There is no reload: the page shows the answer once the worker has finished.
    sentence = page.locator("#answer .sentence")
    expect(sentence).to_have_text(
        re.compile(r"(earned more than|earned the same).* on these [0-9]+ bars"), timeout=AT_FIRST
    )
    wait_until_drawn(page)
    expect(page.locator("figure.chart canvas")).to_have_count(2, timeout=SOON)
    expect(page.locator("#differences tbody tr")).to_have_count(11)
    url = page.url
    # The same selection shows the stored comparison.
    page.goto(f"{POLICY}versions/")
    for number in (2, 1):
        page.get_by_label(f"Version {number}", exact=True).check()
    page.get_by_role("button", name="Compare the selected versions").click()
    expect(page).to_have_url(url)
