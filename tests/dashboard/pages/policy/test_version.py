from datetime import UTC, datetime

import pytest

from tests.dashboard.pages.page_rows import version_of
from tests.dashboard.pages.page_text import words
from tests.stored import finished_run

pytestmark = pytest.mark.django_db


def test_version_shows_its_evaluation(page, policy):
    run = finished_run(policy)
    performance = {"total_return": 0.25, "sharpe_interval": [0.5, 2.5], "equity_curve": [1.0, 1.25]}
    version_of(run, evaluation=performance | {"timestamps": ["2018-01-02T00:00:00Z", "2018-01-03T00:00:00Z"]})
    version_of(finished_run(policy), 2)
    html = page("/policies/rl_v3/versions/1/")
    text = words(html)
    assert "Total return 25.00 %" in text
    assert "Sharpe ratio, 95 % interval 0.5 to 2.5" in text
    assert "At the end: policy 1.250." in text
    assert '<figure class="chart" data-chart="/charts/rl_v3/versions/1/drawdown.json">' in html
    assert f"/runs/{run.run_id}/" in html
    assert "Version 2" in text
    assert "No evaluation is stored with this version." in page("/policies/rl_v3/versions/2/")


def test_version_without_weights_shows_when_they_were_removed(page, policy):
    version = version_of(finished_run(policy))
    assert "Weights removed" not in words(page("/policies/rl_v3/versions/1/"))
    version.weights_removed_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    version.save()
    assert "Weights removed 2026-01-02 03:04:05 UTC" in words(page("/policies/rl_v3/versions/1/"))


@pytest.mark.parametrize("url", ["/policies/rl_v3/versions/9/", "/policies/x/versions/1/"])
def test_unknown_version_is_not_found(client, viewer, policy, url):
    client.force_login(viewer)
    assert client.get(url).status_code == 404
