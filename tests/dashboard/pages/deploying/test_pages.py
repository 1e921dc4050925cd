"""The pages that say what is or was live."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard.pages.deploying import history
from rl_training.models import PolicyStore
from tests.dashboard.pages.page_rows import version_of
from tests.dashboard.pages.page_text import words
from tests.stored import MARKUP, deploy, finished_run

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


@pytest.fixture
def versions(policy):
    return [version_of(finished_run(policy), number) for number in (1, 2)]


def test_policy_page_says_first_what_is_live(page, versions):
    assert "Nothing is live: no version was ever promoted." in words(page("/policies/rl_v3/"))
    deploy(versions[1], at=NOON)
    text = words(page("/policies/rl_v3/"))
    assert "Now Versions Validation Decisions Runs What is live Version 2 is live since 3 May 2026 12:00 UTC" in text
    assert "promoted by a user: It is the best one." in text
    assert text.index("is live since") < text.index("No evaluation is stored with version 2.")


def test_viewer_sees_no_action(page, versions):
    deploy(versions[1])
    html = page("/policies/rl_v3/")
    assert "roll-back" not in html
    assert "promote/" not in html


def test_history_says_when_each_version_was_live(page, versions):
    deploy(versions[0], at=NOON)
    deploy(versions[1], at=NOON + timedelta(days=1))
    text = words(page("/policies/rl_v3/deployments/"))
    assert "2026-05-04 12:00:00" in text
    assert text.index("now version 2") < text.index("2026-05-04 12:00:00 version 1 promoted by a user")


@pytest.mark.parametrize(
    ("at", "answer"),
    [
        ("2026-05-03T11:59", "At 2026-05-03 11:59 UTC nothing was live: no version had been promoted yet."),
        (
            "2026-05-03T12:00",
            "At 2026-05-03 12:00 UTC version 1 was live, since 2026-05-03 12:00:00 UTC, promoted by a user",
        ),
        ("2026-05-05T00:00", "At 2026-05-05 00:00 UTC version 2 was live"),
        ("2999-01-01T00:00", "2999-01-01 00:00 UTC is in the future."),
        ("noon", "Enter a valid date/time."),
    ],
)
def test_live_version_at_a_time_is_shown(page, versions, at, answer):
    deploy(versions[0], at=NOON)
    deploy(versions[1], at=NOON + timedelta(days=1))
    assert answer in words(page(f"/policies/rl_v3/deployments/?at={at}"))


def test_history_is_paged(page, versions, monkeypatch):
    monkeypatch.setattr(history, "DEPLOYMENTS_PER_PAGE", 2)
    found = [deploy(versions[number % 2], at=NOON + timedelta(days=number)) for number in range(3)]
    first = page("/policies/rl_v3/deployments/")
    assert f'href="?before={found[1].pk}"' in first
    second = page(f"/policies/rl_v3/deployments/?before={found[1].pk}")
    assert f'id="deployment-{found[0].pk}"' in second
    assert f'id="deployment-{found[1].pk}"' not in second
    assert "?before=" not in second


def test_version_page_says_when_it_was_live(page, versions):
    assert "This version was never live." in words(page("/policies/rl_v3/versions/1/"))
    deploy(versions[0], at=NOON)
    assert "This version is live since 3 May 2026 12:00 UTC." in words(page("/policies/rl_v3/versions/1/"))
    deploy(versions[1], at=NOON + timedelta(days=1))
    text = words(page("/policies/rl_v3/versions/1/"))
    assert "This version is not live any more. Version 2 is live." in text
    assert "Live from 2026-05-03 12:00:00 to 2026-05-04 12:00:00 UTC" in text


def test_overview_shows_the_live_version_of_each_policy(page, versions):
    other = PolicyStore.objects.create(name="other")
    deploy(versions[0], at=NOON)
    text = words(page("/"))
    assert "rl_v3 version 1 " in text
    assert f"{other.name} nothing is live no version yet" in text


def test_markup_in_a_reason_is_text(page, versions):
    deployment = deploy(versions[0])
    columns = {"action": "go_flat", "actor": "user", "actor_name": MARKUP, "reason": MARKUP, "previous": deployment}
    deployment.policy.deployments.create(at=deployment.at + timedelta(seconds=1), **columns)
    for url in ("/", "/policies/rl_v3/", "/policies/rl_v3/deployments/", "/policies/rl_v3/versions/1/"):
        assert MARKUP not in page(url)
