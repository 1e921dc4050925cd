import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import trading_properties as properties
from tests.trading_cases import cases

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@given(cases)
def test_equity_equals_the_ledger_of_all_trades(case):
    properties.equity_equals_the_ledger(case)


@given(cases)
def test_always_long_without_costs_equals_the_price_ratio(case):
    properties.always_long_is_the_price_ratio(case)


@given(cases)
def test_always_flat_stays_at_exactly_one(case):
    properties.always_flat_is_one(case)


@given(cases)
def test_rewards_sum_to_log_of_final_over_initial_equity(case):
    properties.rewards_sum_to_log_equity(case)


@given(cases, st.integers(0, 100))
def test_later_bars_change_no_observation_and_no_reward(case, at):
    properties.later_bars_change_nothing(case, at)


@given(cases)
def test_the_fill_depends_only_on_the_open_of_its_bar(case):
    properties.the_fill_ignores_the_rest_of_its_bar(case)


def test_an_oracle_of_the_last_bar_earns_nothing():
    properties.knowing_the_last_return_earns_nothing()


@given(cases, st.sampled_from(["fee", "slippage", "borrow_rate", "funding_rate"]))
def test_costs_never_raise_equity(case, name):
    properties.costs_never_raise_equity(case, name)


@given(cases)
def test_a_round_trip_at_a_flat_price_costs_the_formula(case):
    properties.a_round_trip_costs_the_formula(case)


@given(cases, st.sampled_from(["borrow_rate", "funding_rate"]), st.sampled_from([-1.0, 1.0]))
def test_funding_and_borrow_accrue_linearly(case, name, position):
    properties.holding_costs_accrue_linearly(case, name, position)


@given(cases)
def test_profits_of_long_and_short_are_opposite(case):
    properties.long_and_short_profits_are_opposite(case)


@given(cases)
def test_funding_of_long_and_short_sums_to_zero(case):
    properties.long_and_short_funding_sums_to_zero(case)


@given(cases)
def test_ruin_is_floored_and_ends_the_episode(case):
    properties.ruin_is_floored_and_ends(case)


@given(cases)
def test_only_ruin_terminates_and_only_time_truncates(case):
    properties.only_ruin_terminates(case)


@given(cases)
def test_observations_stay_in_their_space(case):
    properties.observations_are_bounded(case)


@given(cases)
def test_statistics_come_from_training_bars_alone(case):
    properties.training_knows_only_its_bars(case)


@given(cases, st.sampled_from([2.0**10, 0.001, 7.3, 1e6]))
def test_scaling_all_prices_changes_nothing(case, factor):
    properties.scaling_prices_changes_nothing(case, factor)


@given(cases)
def test_episodes_stay_inside_the_market(case):
    properties.episodes_stay_inside_the_market(case)


@given(cases)
def test_too_few_bars_are_refused_with_the_number_needed(case):
    properties.short_data_is_refused(case)
