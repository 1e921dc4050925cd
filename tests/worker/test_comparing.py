import pytest
from django.core.files.storage.handler import InvalidStorageError

from rl_training.files import artifacts
from rl_training.models import Comparison, PolicyStore, PolicyVersion
from rl_training.versions import comparisons
from rl_training.worker import comparing
from tests.active_runs import claim_comparison
from tests.weights import stored_version

# Each test commits, as a worker does.
pytestmark = pytest.mark.django_db(transaction=True)


def compared(*versions, should_stop=lambda: False):
    """Execute a comparison of these versions and return its row."""
    comparison = comparisons.request(versions, send_message=False)
    comparing.execute(claim_comparison(comparison), should_stop)
    return Comparison.objects.get(pk=comparison.pk)


def test_comparison_stores_its_result_and_the_bars(policy):
    other = PolicyStore.objects.create(name="other")
    found = compared(stored_version(policy, 1), stored_version(other, 2, last_bar=399, fee=0.01))
    assert (found.status, found.error) == ("succeeded", "")
    # 600 bars, 400 of them for training, one for the feature, and one that no decision follows.
    assert found.bars == found.result["bars"] == 198
    assert len(found.bars_digest) == 64
    names = [account["name"] for account in found.result["accounts"]]
    assert names[:4] == ["rl_v3 version 1", "other version 2", "buy and hold", "flat"]
    assert names[-1] == "best possible"
    assert found.result["costs"]["fee"] == 0.0005
    assert len(found.result["differences"]) == 1 + 2 * 6


def test_same_comparison_gives_the_same_result(policy):
    versions = [stored_version(policy, number) for number in (1, 2)]
    assert compared(*versions).result == compared(*versions).result


def test_version_without_weights_fails_the_comparison_and_is_named(policy):
    versions = [stored_version(policy, number) for number in (1, 2)]
    artifacts.remove(versions[1].artifact)
    found = compared(*versions)
    assert found.status == "failed"
    assert found.error.startswith("The weights of rl_v3 version 2 cannot be read: ")


def test_too_few_common_bars_fail_the_comparison(policy):
    found = compared(stored_version(policy, 1), stored_version(policy, 2, last_bar=579))
    assert found.status == "failed"
    assert "the last bar that rl_v3 version 2 was trained on" in found.error


def test_missing_market_file_fails_the_comparison(policy):
    market = {"source": "file", "path": "gone.csv"}
    found = compared(*(stored_version(policy, number, market=market) for number in (1, 2)))
    assert (found.status, "gone.csv" in found.error) == ("failed", True)


def test_graceful_stop_releases_the_comparison(policy):
    versions = [stored_version(policy, number) for number in (1, 2)]
    assert compared(*versions, should_stop=lambda: True).status == "queued"


def test_unexpected_error_is_stored_and_raised(policy, settings):
    versions = [stored_version(policy, number) for number in (1, 2)]
    settings.STORAGES = {}
    with pytest.raises(InvalidStorageError):
        compared(*versions)
    found = Comparison.objects.get()
    assert (found.status, found.error.partition(":")[0]) == ("failed", "InvalidStorageError")


def test_old_version_counts_as_trained_until_its_evaluation_began(policy):
    older = stored_version(policy, 1, noted=False)
    PolicyVersion.objects.update(evaluation={"timestamps": ["1990-01-18T19:00:00Z"]})
    found = compared(older, stored_version(policy, 2))
    assert (found.bars, found.bars_first.isoformat()) == (600 - 428 - 2, "1990-01-18T21:00:00+00:00")


def test_version_with_unknown_training_bars_fails_the_comparison(policy):
    found = compared(stored_version(policy, 1, noted=False), stored_version(policy, 2))
    assert found.error == "The last training bar of rl_v3 version 1 is unknown."
