from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from dashboard.pages.storage import growth_of, sentence_of
from rl_training.models import StorageReading
from rl_training.storage.readings import Disk

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DISK = {"STATE_DIR": {"total": 1_000_000_000, "free": 400_000_000}}


def test_sentence_says_which_disk_is_full_first():
    disks = [Disk("STATE_DIR", 1, 1, NOW + DAY), Disk("ARTIFACT_ROOT", 1, 1, NOW), Disk("CHECKPOINT_ROOT", 1, 1, None)]
    assert (
        sentence_of(disks, known=True)
        == "The disk of ARTIFACT_ROOT will be full on 2026-11-27 if its use grows as in the last week."
    )
    assert sentence_of(disks[2:], known=True) == (
        "By the readings of the last week, no disk will be full within ten years."
    )


def test_sentence_has_no_date_before_a_day_of_readings():
    assert sentence_of([Disk("STATE_DIR", 1, 1, None)], known=False) == (
        "When a disk will be full is known after a day of readings."
    )


def test_growing_and_shrinking_parts_are_described():
    assert (growth_of(2e6), growth_of(-5e8), growth_of(None)) == (
        " and grows by 2.0 MB a day",
        " and shrinks by 500.0 MB a day",
        "",
    )


@pytest.mark.django_db
def test_storage_page_shows_parts_disks_and_retention(signed_in):
    client = signed_in("viewer")
    assert "There is no reading yet" in client.get("/storage/").content.decode()
    for days in (2, 1):
        usage_ = {"database": 3_000_000_000 - days * 500_000_000, "weights": 1_000_000}
        StorageReading.objects.create(at=timezone.now() - days * DAY, usage=usage_, disks=DISK)
    page = client.get("/storage/").content.decode()
    assert "The system uses 2.5 GB and grows by 500.0 MB a day." in page
    assert "400.0 MB, 40 %" in page
    assert '<code>RUNS_KEPT</code></td><td data-label="Value" class="number">30000</td>' in page
    chart = client.get("/storage/chart.json").json()
    assert chart["data"][1] == [2.001, 2.501]
