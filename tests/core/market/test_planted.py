import numpy as np
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from rl_training.core.config_problems import find_problems
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.planted import planted_market, planted_returns
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig

KINDS = ["ar1", "regime", "independent"]


def planted(kind="ar1", **given):
    return MarketConfig(source="planted", planted_kind=kind, **{"bars": 100_000} | given)


def correlation(x, lag):
    return np.corrcoef(x[:-lag], x[lag:])[0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_each_bar_opens_at_the_previous_close_and_has_the_planted_return(kind):
    config = planted(kind, bars=5000)
    market = planted_market(config)
    assert (market.open[1:] == market.close[:-1]).all()
    np.testing.assert_allclose(np.log(market.close / market.open), planted_returns(config), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_bars_depend_only_on_the_seed(kind):
    digests = [planted_market(planted(kind, bars=500, planted_seed=seed)).digest for seed in (7, 7, 8)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("kind", KINDS)
def test_more_bars_begin_with_the_same_bars(kind):
    assert planted_market(planted(kind, bars=900))[:500].digest == planted_market(planted(kind, bars=500)).digest


@pytest.mark.parametrize("phi", [0.2, 0.3, -0.5])
def test_ar1_returns_depend_only_on_the_previous_return(phi):
    returns = planted_returns(planted("ar1", planted_phi=phi))
    assert returns.std() == pytest.approx(0.01, rel=0.02)
    assert correlation(returns, 1) == pytest.approx(phi, abs=0.01)
    innovations = returns[1:] - phi * returns[:-1]
    assert [correlation(innovations, lag) for lag in (1, 2, 3)] == pytest.approx([0, 0, 0], abs=0.01)


def test_a_hidden_regime_has_its_drift_and_switching_probability():
    returns = planted_returns(planted("regime", bars=250_000))
    assert returns.std() == pytest.approx(np.sqrt(0.01**2 + 0.002**2), rel=0.01)
    assert returns.mean() == pytest.approx(0, abs=2e-4)
    # The mean product of the drifts of two bars `lag` apart is drift^2 (1 - 2 x 0.01)^lag.
    products = [np.mean(returns[:-lag] * returns[lag:]) for lag in range(1, 41)]
    assert np.mean(products) == pytest.approx(0.002**2 * np.mean(0.98 ** np.arange(1, 41)), rel=0.15)


def test_either_regime_may_be_the_first():
    first = [
        planted_returns(planted("regime", bars=50, planted_drift=0.01, planted_seed=seed))[0] for seed in range(200)
    ]
    assert 60 < sum(value > 0 for value in first) < 140


def test_independent_returns_have_no_structure():
    returns = planted_returns(planted("independent"))
    assert returns.std() == pytest.approx(0.01, rel=0.02)
    assert [correlation(returns, lag) for lag in (1, 2, 3)] == pytest.approx([0, 0, 0], abs=0.01)


def test_high_low_and_volume_do_not_predict_the_next_return():
    market = planted_market(planted("independent"))
    following = np.log(market.close / market.open)[1:]
    for column in (market.high / np.maximum(market.open, market.close), market.low / market.close, market.volume):
        assert np.corrcoef(column[:-1], following)[0, 1] == pytest.approx(0, abs=0.01)


def test_the_bars_are_hourly_and_in_the_past():
    market = planted_market(planted(bars=250_000))
    assert [when.isoformat() for when in market.span] == ["1990-01-01T00:00:00+00:00", "2018-07-09T15:00:00+00:00"]
    assert (market.spacing, market.gaps) == (3600, 0)


def test_a_price_outside_the_range_is_refused():
    config = planted("ar1", bars=250_000, planted_phi=0.9, planted_seed=1)
    with pytest.raises(
        MarketDataError, match=r"^synthetic: AR\(1\) phi=0.9, seed 1: over 250000 bars the price leaves"
    ):
        planted_market(config)


@pytest.mark.parametrize(
    ("config", "label"),
    [
        (planted("ar1", planted_phi=0.2), "synthetic: AR(1) phi=0.2"),
        (planted("regime"), "synthetic: hidden regime of 20 bp up or down, switching with 1.00%"),
        (planted("independent"), "synthetic: no structure"),
    ],
)
def test_a_planted_market_is_labelled_synthetic(config, label):
    assert config.label == label
    with capture_logs() as logs:
        load_market(config)
    assert (logs[-1]["source"], logs[-1]["market"]) == ("planted", label)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("planted_phi", value) for value in (0.91, -0.91, float("nan"), True)),
        *(("planted_drift", value) for value in (-0.001, 0.011)),
        *(("planted_switching", value) for value in (0, 0.51)),
        *(("planted_seed", value) for value in (-1, 2**32, 1.5)),
        ("planted_kind", "bull"),
        ("bars", 250_001),
    ],
)
def test_a_setting_outside_its_range_is_refused_with_its_field(field, value):
    with pytest.raises(ValidationError) as error:
        MarketConfig.model_validate({"source": "planted", field: value})
    assert [problem.path for problem in find_problems(error.value)] == [field]
