"""The removal of stored bars."""

from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.files import bars
from rl_training.models import PolicyStore, TrainingRun, Validation
from rl_training.versions import bars_retention
from tests.core.run.small_run import bars as random_bars
from tests.dashboard.pages.page_rows import active_run, version_of
from tests.stored import deploy, finished_run
from tests.validations import request_validation, succeed_validation

pytestmark = pytest.mark.django_db

IN_A_MONTH = timedelta(days=30, minutes=1)


@pytest.fixture(autouse=True)
def storage(streams, artifact_root):
    """Give each test an empty storage and an empty Redis."""


def stored(length: int = 200) -> str:
    market = random_bars(length)
    bars.store(market)
    return str(market.digest)


def test_bars_of_an_ended_run_are_removed_after_the_retention_days(policy):
    digest = stored()
    finished_run(policy, bars_digest=digest)
    now = timezone.now()
    assert bars_retention.remove_unneeded(now + timedelta(days=29, hours=23)) == 0
    assert bars_retention.remove_unneeded(now + IN_A_MONTH) == 1
    assert not bars.is_stored(digest)


def test_bars_stay_while_a_younger_run_shares_them(policy):
    digest = stored()
    finished_run(policy, bars_digest=digest)
    TrainingRun.objects.update(finished_at=timezone.now() - timedelta(days=10))
    finished_run(policy, bars_digest=digest)
    assert bars_retention.remove_unneeded(timezone.now() + timedelta(days=25)) == 0
    assert bars_retention.remove_unneeded(timezone.now() + IN_A_MONTH) == 1


def test_bars_of_an_active_run_stay(policy):
    digest = stored()
    active_run(policy, bars_digest=digest)
    assert bars_retention.remove_unneeded(timezone.now() + timedelta(days=400)) == 0
    assert bars.is_stored(digest)


def test_bars_of_a_version_that_was_live_stay(policy):
    live, other = stored(200), stored(201)
    first = version_of(finished_run(policy, bars_digest=live))
    deploy(first)
    deploy(version_of(finished_run(policy), number=2))
    version_of(finished_run(policy, bars_digest=other), number=3)
    assert bars_retention.remove_unneeded(timezone.now() + timedelta(days=400)) == 1
    assert bars.digests() == [live]


def test_only_bars_of_a_validation_in_force_outlive_the_retention(policy):
    digest = stored()
    succeed_validation(request_validation(policy), bars_digest=digest)
    later = timezone.now() + IN_A_MONTH
    assert bars_retention.remove_unneeded(later) == 0
    Validation.objects.update(verdict="refused")
    assert bars_retention.remove_unneeded(later) == 1


def test_bars_without_a_run_stay_for_an_hour(policy):
    stored()
    assert bars_retention.remove_unneeded(timezone.now() + timedelta(minutes=59)) == 0
    assert bars_retention.remove_unneeded(timezone.now() + timedelta(minutes=61)) == 1


def test_bars_that_a_run_refers_to_meanwhile_stay(policy, monkeypatch):
    digest, remove_unless = stored(), bars.remove_unless

    def refer_first(*arguments):
        active_run(policy, bars_digest=digest)
        return remove_unless(*arguments)

    monkeypatch.setattr(bars, "remove_unless", refer_first)
    assert bars_retention.remove_unneeded(timezone.now() + IN_A_MONTH) == 0
    assert bars.is_stored(digest)


def test_each_round_checks_a_batch_and_continues_after_it(policy, monkeypatch):
    monkeypatch.setattr(bars_retention, "BATCH", 2)
    kept = [stored(length) for length in (200, 201, 202)]
    for digest in kept:
        active_run(policy, "failed", bars_digest=digest)
    later = timezone.now() + IN_A_MONTH
    for length in (203, 204):
        stored(length)
    assert sum(bars_retention.remove_unneeded(later) for _ in range(3)) == 2
    assert bars.digests() == sorted(kept)


def test_storage_error_is_logged(policy, monkeypatch, caplog):
    def fail():
        raise OSError("Input/output error")

    monkeypatch.setattr(bars, "digests", fail)
    assert bars_retention.remove_unneeded(timezone.now()) == 0
    assert "Stored bars cannot be deleted" in caplog.text


def test_recent_bars_stay_for_the_newest_runs_of_each_policy(policy, settings):
    settings.BARS_KEPT = 2
    digests = [stored(length) for length in (200, 201, 202)]
    for digest in digests:
        finished_run(policy, bars_digest=digest)
    later = timezone.now() + timedelta(hours=2)
    assert bars_retention.remove_unneeded(later) == 1
    assert bars.digests() == sorted(digests[1:])
    slow = PolicyStore.objects.create(name="slow")
    finished_run(slow, bars_digest=digests[1])
    finished_run(policy, bars_digest=digests[2])
    assert bars_retention.remove_unneeded(later) == 0
