"""Settings are refused if no run could train with them, however they are saved."""

from typing import Any

import pytest

from rl_training import keys, market_checks
from rl_training.market_files import offered_files, opening_problem
from rl_training.models import PolicyStore
from rl_training.trainable import has_gpu, market_problems
from tests.admin.policy_pages import LIST, edit, errors, form_data
from tests.api_clients import client_of, patch, problem
from tests.core.market.price_files import HEADER, ROWS
from tests.management.test_commands import output_of, refusal_of

pytestmark = pytest.mark.django_db
# 10 days are more than the default features and episode need, of which 80 % are for training.
BARS = HEADER + "".join(
    f"2020-{1 + hour // 672:02}-{1 + hour // 24 % 28:02} {hour % 24:02}:00,10,12,9,{10 + hour % 2},5\n"
    for hour in range(800)
)
NO_VOLUME = "\n".join(line.rpartition(",")[0] for line in BARS.splitlines())
FILE = {"rl_v3.market.source": "file"}
ABSENT = {"source": "file", "path": "absent.csv"}


@pytest.fixture
def root(tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path
    for name in ("a.csv", "b.PARQUET", "deep/c.csv", "notes.md", ".hidden.csv", "exchange/kraken/x.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BARS)
    (tmp_path / "outside.csv").symlink_to("/etc/hostname")
    return tmp_path


def message(root, rule, path):
    return f"{rule}, got {path}; files in {root}: a.csv, b.PARQUET, deep/c.csv"


@pytest.fixture
def gone(policy, root):
    """A policy whose file has gone since it was saved."""
    policy.market = policy.market.model_copy(update={"source": "file", "path": "gone.csv"})
    policy.save_settings()
    return policy


def test_market_files_under_the_root_are_offered(root):
    assert offered_files() == ["a.csv", "b.PARQUET", "deep/c.csv"]


def test_root_that_does_not_exist_offers_nothing(settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path / "none"
    assert offered_files() == []
    assert opening_problem("a.csv").endswith(
        f"; there is no folder {tmp_path}/none; make it, or correct MARKET_DATA_ROOT"
    )


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("absent.csv", "there is no such file under MARKET_DATA_ROOT, {root}"),
        ("../x.csv", "leads outside MARKET_DATA_ROOT, {root}"),
        ("/etc/passwd", "is an absolute path; name the file relative to MARKET_DATA_ROOT"),
        ("outside.csv", "leads outside MARKET_DATA_ROOT, {root}"),
        ("deep", "is a directory"),
    ],
)
def test_command_refuses_path_that_no_run_could_read(policy, root, path, rule):
    with pytest.raises(keys.SettingError) as refused:
        keys.set_values({"rl_v3.market.source": "file", "rl_v3.market.path": path})
    assert str(refused.value) == "rl_v3.market.path: " + message(root, rule.format(root=root), path)
    keys.set_values({"rl_v3.market.source": "file", "rl_v3.market.path": "a.csv"})
    assert keys.get("rl_v3.market.path") == "a.csv"


def test_api_refuses_missing_file_at_its_field(policy, root):
    client = client_of("admin")
    detail = message(root, f"there is no such file under MARKET_DATA_ROOT, {root}", "absent.csv")
    expected = [{"field": "market.path", "detail": detail}]
    assert problem(patch(client, {"market": ABSENT}), 400)["errors"] == expected
    body = {"name": "new", "market": ABSENT}
    created = client.post("/api/v1/policies/", body, content_type="application/json")
    assert problem(created, 400)["errors"] == expected
    assert keys.get("rl_v3.market.source") == "sp500"


def test_form_refuses_missing_file_beside_its_field(admin_client, policy, root):
    response = edit(admin_client, policy, market=ABSENT)
    text = message(root, f"there is no such file under MARKET_DATA_ROOT, {root}", "absent.csv")
    assert errors(response) == {"market": [f"path: {text}"]}
    field = response.context["adminform"].form.fields["market"]
    assert field.widget.error_map == {"path": [text]}
    page = response.content.decode()
    assert '<option value="deep/c.csv"></option>' in page
    assert edit(admin_client, policy, market={"source": "file", "path": "a.csv"}).status_code == 302


def test_policy_whose_file_has_gone_stays_editable(admin_client, gone):
    assert edit(admin_client, gone, interval_minutes=5).status_code == 302
    keys.set_values({"rl_v3.market.train_fraction": "0.5"})
    assert patch(client_of("admin"), {"market": {"train_fraction": 0.6}, "ppo": {"gamma": 0.5}}).status_code == 200
    gone.refresh_from_db()
    assert (gone.interval_minutes, gone.market.train_fraction, gone.market.path) == (5, 0.6, "gone.csv")


def test_revert_to_file_that_has_gone_is_refused(admin_client, gone):
    entry = gone.history.latest()
    keys.set_values({"rl_v3.market.source": "nasdaq"})
    url = f"{LIST}{gone.pk}/history/{entry.pk}/"
    response = admin_client.post(url, form_data(admin_client.get(url)))
    assert "gone.csv" in errors(response)["market"][0]
    assert keys.get("rl_v3.market.source") == "nasdaq"


def test_copy_of_policy_whose_file_has_gone_is_refused(gone):
    client = client_of("admin")
    body: dict[str, Any] = {"name": "copy", "like": "rl_v3"}
    found = problem(client.post("/api/v1/policies/", body, content_type="application/json"), 400)
    assert [error["field"] for error in found["errors"]] == ["market.path"]
    body["market"] = {"path": "a.csv"}
    assert client.post("/api/v1/policies/", body, content_type="application/json").status_code == 201


def test_path_without_effect_is_not_checked(policy, root):
    keys.set_values({"rl_v3.market.path": "absent.csv"})
    assert market_problems(PolicyStore.objects.get().market, policy.environment) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (HEADER, "has a header and no rows"),
        (HEADER + ROWS[0], "0 of the 1 bar is to train on, but at least 616 are needed"),
        (HEADER + "".join(ROWS), "2 of the 3 bars are to train on, but at least 616 are needed"),
        ("\n".join(BARS.splitlines()[:700]), "559 of the 699 bars are to train on, but at least 616 are needed"),
        (HEADER + ROWS[1] + "text,1,2,3,4,5\n", "text"),
    ],
)
def test_file_that_cannot_be_trained_on_is_refused(policy, root, content, message):
    (root / "m.csv").write_text(content)
    with pytest.raises(keys.SettingError, match=rf"rl_v3.market.path: .*{message}"):
        keys.set_values(FILE | {"rl_v3.market.path": "m.csv"})
    assert keys.get("rl_v3.market.source") == "sp500"


def test_instrument_that_the_file_lacks_is_refused_at_symbol(policy, root):
    rows = "".join(f"{row[:-1]},EURUSD\n" for row in BARS.splitlines(keepends=True)[1:])
    (root / "m.csv").write_text(HEADER[:-1] + ",symbol\n" + rows)
    change: dict[str, Any] = {"market": {"source": "file", "path": "m.csv", "symbol": "GBPUSD"}}
    found = problem(patch(client_of("admin"), change), 400)["errors"]
    text = "m.csv: has no instrument 'GBPUSD', the setting symbol; it has 'EURUSD'"
    assert found == [{"field": "market.symbol", "detail": text}]
    change["market"]["symbol"] = "eurusd"
    assert patch(client_of("admin"), change).status_code == 200


def test_symbol_of_a_file_that_names_no_instrument_is_refused(policy, root):
    wanted = FILE | {"rl_v3.market.path": "a.csv", "rl_v3.market.symbol": "BTC/USD"}
    with pytest.raises(keys.SettingError) as refused:
        keys.set_values(wanted)
    message = "a.csv names no instrument, so leave symbol empty; got BTC/USD"
    assert str(refused.value) == f"rl_v3.market.symbol: {message}"
    keys.set_values(wanted | {"rl_v3.market.symbol": ""})


def test_feature_without_the_volume_that_it_needs_is_refused(policy, root):
    (root / "m.csv").write_text(NO_VOLUME)
    with pytest.raises(keys.SettingError, match=r"^rl_v3.environment.features: feature volume_zscore_20 needs volume"):
        keys.set_values(FILE | {"rl_v3.market.path": "m.csv"})
    keys.set_values(FILE | {"rl_v3.market.path": "m.csv", "rl_v3.environment.features": '["log_return_1"]'})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"market.source": "planted", "market.bars": "700"}, "rl_v3.market.bars: 560 of the 700 bars are to train on"),
        (
            {
                "market.source": "planted",
                "market.planted_kind": "regime",
                "market.bars": "250000",
                "market.planted_drift": "0.01",
                "market.planted_switching": "0.000001",
            },
            "rl_v3.market.bars: .* the price leaves",
        ),
        ({"environment.episode_length": "5000"}, "rl_v3.environment.episode_length: 4024 of the 5031 bars"),
        ({"market.train_fraction": "0.1"}, "rl_v3.market.train_fraction: 503 of the 5031 bars"),
        (
            {"market.source": "exchange", "market.exchange": "krakn", "market.symbol": "BTC/USD"},
            r"rl_v3.market.exchange: exchange 'krakn' is unknown to ccxt [0-9.]+; did you mean kraken",
        ),
        (
            {
                "market.source": "exchange",
                "market.exchange": "coinbase",
                "market.symbol": "BTC/USD",
                "market.timeframe": "7m",
            },
            r"rl_v3.market.timeframe: coinbase has no timeframe 7m; it has 1m, 5m, ",
        ),
        (
            {
                "market.source": "exchange",
                "market.exchange": "kraken",
                "market.symbol": "BTC/USD",
                "market.bars": "500",
            },
            "rl_v3.market.bars: 400 of the 500 bars",
        ),
    ],
)
def test_settings_with_too_few_or_no_bars_are_refused(policy, changes, message):
    with pytest.raises(keys.SettingError, match=f"^{message}"):
        keys.set_values({f"rl_v3.{name}": value for name, value in changes.items()})


def test_form_shows_too_few_bars_beside_the_file(admin_client, policy, root):
    (root / "m.csv").write_text(HEADER + ROWS[0])
    response = edit(admin_client, policy, market={"source": "file", "path": "m.csv"})
    assert errors(response)["market"][0].startswith("path: 0 of the 1 bar is to train on")
    short = {"episode_length": 5_000}
    assert errors(edit(admin_client, policy, environment=short))["environment"][0].startswith("episode_length: 4024 of")


def test_problems_of_file_and_of_other_settings_are_shown_together(admin_client, policy, root):
    wanted: dict[str, Any] = ABSENT | {"timeframe": "1H"}
    found = errors(edit(admin_client, policy, market=wanted))["market"]
    assert [text.split(":")[0] for text in found] == ["timeframe", "path"]
    found = problem(patch(client_of("admin"), {"market": wanted}), 400)["errors"]
    assert {error["field"] for error in found} == {"market.path", "market.timeframe"}
    with pytest.raises(keys.SettingError) as refused:
        keys.set_values({f"rl_v3.market.{name}": value for name, value in wanted.items()})
    assert {line.split(":")[0] for line in str(refused.value).splitlines()} == {
        "rl_v3.market.path",
        "rl_v3.market.timeframe",
    }


def test_import_and_creation_refuse_a_file_without_bars(policy, root, tmp_path):
    (root / "m.csv").write_text("")
    (tmp_path / "all.yaml").write_text("policies: {rl_v3: {market: {source: file, path: m.csv}}}")
    assert "rl_v3.market.path: m.csv: is empty" in str(refusal_of("policystore", "import", str(tmp_path / "all.yaml")))
    policy.market = policy.market.model_copy(update={"source": "file", "path": "m.csv"})
    policy.save_settings()
    assert "market.path: m.csv: is empty" in str(refusal_of("policystore", "create", "copy", "--like", "rl_v3"))


def test_file_is_read_once_however_often_its_settings_are_saved(policy, root):
    before = market_checks._checked.cache_info().misses
    keys.set_values(FILE | {"rl_v3.market.path": "a.csv"})
    keys.set_values({"rl_v3.market.train_fraction": "0.82"})
    assert patch(client_of("admin"), {"environment": {"episode_length": 300}}).status_code == 200
    assert market_checks._checked.cache_info().misses == before + 1


def test_file_with_further_columns_is_read_once_unless_they_are_at_fault(policy, root):
    lines = [f"{line},{number % 7}\n" for number, line in enumerate(BARS.splitlines()[1:])]
    (root / "own.csv").write_text(HEADER.strip() + ",funding\n" + "".join(lines))
    wanted = FILE | {"rl_v3.market.path": "own.csv"}
    features = "rl_v3.environment.features"
    before = market_checks._checked.cache_info().misses
    keys.set_values(wanted | {features: '["log_return_1", "column:funding"]'})
    assert market_checks._checked.cache_info().misses == before + 1
    with pytest.raises(keys.SettingError, match=rf"{features}: .* no column is named 'signal'"):
        keys.set_values({features: '["column:signal"]', "rl_v3.market.path": "own.csv"})


def test_machine_with_a_device_of_nvidia_has_a_gpu(tmp_path):
    assert not has_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_gpu(tmp_path)


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr("rl_training.trainable.has_gpu", lambda: False)


WARNING = "ppo.device is cuda, and this machine has no NVIDIA GPU: runs fail unless the machine of each worker has one."


def test_missing_gpu_is_a_warning_since_the_worker_may_have_one(admin_client, policy, without_gpu, capsys):
    page = edit(admin_client, policy, ppo={"device": "cuda"})
    assert page.status_code == 302
    shown = [str(message) for message in admin_client.get(page.url).context["messages"]]
    assert any(text.startswith(WARNING) for text in shown)
    answer = patch(client_of("admin"), {"ppo": {"device": "cuda"}})
    assert (answer.status_code, answer.json()["warning"][: len(WARNING)]) == (200, WARNING)
    assert patch(client_of("admin"), {"ppo": {"device": "auto"}}).json()["warning"] is None
    output_of("policystore", "set", "rl_v3.ppo.device=cuda")
    assert capsys.readouterr().err.startswith(f"rl_v3: {WARNING}")
