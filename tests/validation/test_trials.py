import pytest
from django.db.models import ProtectedError

from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore, Trial, TrialMarket
from rl_training.models.permanent_rows import PermanentRowError
from rl_training.validation import steps, trials
from tests.validations import request_validation, trial_number

pytestmark = pytest.mark.django_db


def begin(**market):
    return trials.begin(MarketConfig(**market), Trial.Kind.WALK_FORWARD, recipe="ab", policy="rl_v3")


def test_each_trial_on_a_market_may_spend_less():
    found = [begin() for _ in range(3)]
    assert [trial.number for trial in found] == [1, 2, 3]
    assert [trial.level for trial in found] == pytest.approx([0.0303964, 0.0075991, 0.0033774], rel=1e-4)
    assert trials.spent(MarketConfig().ledger_key()) == pytest.approx(0.0413729, rel=1e-4)


def test_level_of_a_trial_follows_the_alpha_of_the_setting(settings):
    settings.PROMOTION_ALPHA = 0.01
    assert (begin().alpha, begin().level) == (0.01, pytest.approx(0.01 * 6 / (9.8696 * 4), rel=1e-4))


@pytest.mark.parametrize(
    "market",
    [
        {"source": "file", "path": "./a/../prices.csv"},
        {"source": "file", "path": "prices.csv", "train_fraction": 0.5},
        {"source": "file", "path": "prices.csv", "timeframe": "1d"},
    ],
)
def test_market_is_the_same_however_its_file_is_named(market):
    begin(source="file", path="prices.csv")
    assert begin(**market).number == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"source": "sp500"}, {"source": "nasdaq"}),
        ({"source": "file", "path": "a.csv"}, {"source": "file", "path": "b.csv"}),
        ({"source": "planted", "planted_seed": 1}, {"source": "planted", "planted_seed": 2}),
    ],
)
def test_other_markets_have_trials_of_their_own(first, second):
    begin(**first)
    assert begin(**second).number == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"source": "file", "path": "a.csv"}, {"source": "file", "path": "a.csv", "symbol": "ZZZ"}),
        ({"source": "planted"}, {"source": "planted", "planted_drift": 0.003, "bars": 2000}),
        (
            {"source": "planted", "planted_kind": "independent"},
            {"source": "planted", "planted_kind": "independent", "planted_phi": 0.3},
        ),
    ],
)
def test_instrument_and_settings_without_effect_make_no_other_market(first, second):
    begin(**first)
    assert begin(**second).number == 2


def test_link_to_a_file_is_the_same_market(settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path
    (tmp_path / "a.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "folder").symlink_to(tmp_path)
    begin(source="file", path="a.csv")
    assert [begin(source="file", path=path).number for path in ("link.csv", "folder/a.csv")] == [2, 3]


def test_more_bars_of_an_exchange_are_the_same_market():
    market = {"source": "exchange", "exchange": "kraken", "symbol": "BTC/USD"}
    begin(**market, bars=1000)
    assert begin(**market, bars=2000).number == 2


def test_trials_are_permanent():
    trial = begin()
    for change in (trial.save, trial.delete, Trial.objects.all().delete, lambda: Trial.objects.update(number=9)):
        with pytest.raises(PermanentRowError):
            change()


def test_renamed_policy_keeps_its_trials(policy):
    steps.cancel(request_validation(policy))
    policy.name = "renamed"
    policy.save_settings()
    assert trial_number(request_validation(policy)) == 2


def test_policy_that_was_validated_cannot_be_removed(policy):
    request_validation(policy)
    with pytest.raises(ProtectedError):
        policy.delete()


def test_trials_of_copies_of_a_policy_are_counted_together(policy):
    copy = PolicyStore.objects.create(name="copy")
    steps.cancel(request_validation(policy))
    steps.cancel(request_validation(copy))
    assert TrialMarket.objects.get().trials == 2
    assert trials.recipes_tried(policy.market.ledger_key()) == 1
