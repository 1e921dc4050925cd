"""Verdicts and held-back versions on the pages of policies and versions."""

import pytest
from django.utils import timezone

from rl_training.models import Deployment, PolicyStore, PolicyVersion
from tests.dashboard.pages.page_rows import version_of
from tests.dashboard.pages.page_text import words
from tests.stored import MARKUP, deploy, finished_run, walked_forward
from tests.validations import request_validation

pytestmark = pytest.mark.django_db
POLICY = "/policies/rl_v3/"
REASON = "its recipe is inconclusive, by validation abc"


@pytest.fixture
def held_back(policy):
    """Version 1 is live, and the gate holds version 2 back."""
    deploy(version_of(finished_run(policy)))
    version = version_of(finished_run(policy), 2)
    PolicyVersion.objects.filter(pk=version.pk).update(held_back=REASON)
    return version


@pytest.mark.parametrize("verdict", ["validated", "refused", "inconclusive"])
def test_overview_has_a_verdict_for_each_policy(page, policy, verdict):
    walked_forward(policy, verdict)
    html = page("/")
    assert f'href="{POLICY}validation/"><span aria-hidden="true">' in html
    assert f"{verdict} not measured" in words(html)


def test_overview_names_untried_ended_and_active_validations(page, policy):
    ended = PolicyStore.objects.create(name="ended", seeds=1)
    walked_forward(ended, ended_at=timezone.now(), ended_because="it lost")
    request_validation(policy)
    text = words(page("/"))
    assert "ended nothing is live no version yet ◆ ended not measured" in text
    assert "rl_v3 nothing is live no version yet not tried under way not measured" in text


def test_overview_shows_walk_forwards_beside_the_runs(page, policy):
    validation = request_validation(policy)
    text = words(page("/"))
    assert f"rl_v3 queued validation {validation} 0 of 8 folds trained. Requested 0 s ago" in text
    assert "Cancel" not in text


def test_overview_says_what_is_held_back_and_why(page, held_back):
    html = page("/")
    assert f"version 2 held back: {REASON}" in words(html)
    deploy(held_back)
    assert "held back" not in page("/")


def test_reason_with_markup_is_text(page, held_back):
    PolicyVersion.objects.filter(pk=held_back.pk).update(held_back=MARKUP)
    for url in ("/", POLICY, f"{POLICY}versions/", f"{POLICY}versions/2/"):
        html = page(url)
        assert MARKUP not in html
        assert "&lt;script&gt;" in html


def test_now_says_what_is_held_back_and_offers_to_promote_it(signed_in, held_back):
    text = words(signed_in("admin").get(POLICY).content.decode())
    assert f"Version 2 is held back: {REASON}." in text
    assert "Promote version 2 all the same" in text


def test_nothing_is_held_back_where_the_gate_does_not_decide(page, held_back):
    PolicyStore.objects.update(promotion="manual")
    assert "held back" not in page("/")
    assert "held back" not in page(POLICY)


def test_now_says_that_nothing_goes_live_before_a_validation(page, policy):
    html = page(POLICY)
    assert "Recipe: not tried . No new version goes live by itself until the recipe is validated." in words(html)
    assert f'href="{POLICY}validation/">not tried</a>' in html


def test_now_names_the_gate_and_its_evidence(page, policy):
    validation = walked_forward(policy)
    version = version_of(finished_run(policy))
    reason = f"validation {validation} validated the recipe (p = 0.003), and version 1 passes the guards"
    change = {"action": "promote", "actor": "gate", "reason": reason, "at": timezone.now()}
    Deployment.objects.create(policy=policy, version=version, validation=validation, **change)
    html = page(POLICY)
    assert f"promoted by the gate: {reason} evidence" in words(html)
    assert html.count(f'<a href="/validations/{validation}/">evidence</a>') == 2


def test_version_says_why_it_was_held_back(page, held_back):
    text = words(page(f"{POLICY}versions/2/"))
    assert f"The gate held this version back: {REASON}. A user may promote it all the same." in text
    assert "held this version back" not in page(f"{POLICY}versions/1/")


def test_list_of_versions_marks_held_back_versions(page, held_back):
    assert f'<span title="{REASON}">held back</span>' in page(f"{POLICY}versions/")


def preview(client, policy, **changes):
    policy = PolicyStore.objects.get(pk=policy.pk)
    kept = {"interval_minutes": policy.interval_minutes, "episodes_per_run": policy.episodes_per_run}
    sent = kept | {"seen": policy.updated_at.isoformat(), "action": "preview"} | changes
    return words(client.post(f"{POLICY}settings/", sent).content.decode())


def test_settings_say_before_saving_that_a_validation_expires(signed_in, policy):
    operator = signed_in("operator")
    assert "expires" not in preview(operator, policy, episodes_per_run=5)
    validation = walked_forward(policy)
    found = f"Validation {validation} expires: it is for the present recipe only."
    assert found in preview(operator, policy, episodes_per_run=5)
    assert "expires" not in preview(operator, policy, interval_minutes=5)
