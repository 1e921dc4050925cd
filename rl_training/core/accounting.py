"""What a decision does to an account: the only place where money is counted.

`trade_bar` is pure and works on N accounts at once; training, evaluation and the reference portfolios all use it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rl_training.core.config import EnvironmentConfig

FloatArray = npt.NDArray[np.float64]

INITIAL_EQUITY = 1.0


@dataclass(frozen=True, slots=True)
class Accounts:
    """N accounts at the close of a bar; every field is [N]. Money is in multiples of the initial equity."""

    cash: FloatArray  # negative when the position is levered
    units: FloatArray  # of the market held; negative when short
    target: FloatArray  # the position last traded to, as a fraction of equity
    equity: FloatArray  # cash + units x close
    entry_equity: FloatArray  # equity just after the last trade, its costs paid
    peak: FloatArray  # highest equity at a close so far


@dataclass(frozen=True, slots=True)
class BarOutcome:
    """What happened to N accounts over one bar; every field is [N]."""

    reward: FloatArray  # log(equity at this close / equity at the previous close)
    cost: FloatArray  # fee, slippage, funding and borrow of this bar; negative when funding received exceeds the rest
    turnover: FloatArray  # traded notional / equity, both at the open
    ruined: npt.NDArray[np.bool_]


def open_accounts(count: int) -> Accounts:
    """Flat accounts that hold the initial equity in cash."""
    return Accounts(
        cash=np.full(count, INITIAL_EQUITY),
        units=np.zeros(count),
        target=np.zeros(count),
        equity=np.full(count, INITIAL_EQUITY),
        entry_equity=np.full(count, INITIAL_EQUITY),
        peak=np.full(count, INITIAL_EQUITY),
    )


def trade_bar(
    accounts: Accounts, target: FloatArray, open_price: FloatArray, close_price: FloatArray, config: EnvironmentConfig
) -> tuple[Accounts, BarOutcome]:
    """Trade to the target positions at a bar's open, hold through the bar, mark at its close.

    All arrays are [N]; prices are those of the bar after the decision. With x = units x open and E = cash + x, both
    before the trade, an account whose target p differs from the one it holds trades the notional

        dx = (p E - x) / (1 + s k p),    s = sign(p E - x),    k = slippage + fee (1 + s slippage)

    which costs k |dx| (slippage against the open, and the fee on the notional at the price paid) and leaves exactly
    units x open = p (E - k |dx|): the exposure is p of what is left once the costs are paid. Then, on the notional n
    = units x close, funding_rate x n + borrow_rate x max(-n, 0) leaves the cash.

    An account whose equity is at or below ruin_fraction of the initial, at the open after its trade or at the close,
    is ruined: its position is closed and its equity is set to exactly that floor, whatever the gap or the cost of
    closing would have left (so that cost and the turnover of closing are not counted). It stays as it is from then on.
    """
    # fee (1 + s slippage) + slippage, the part that does not depend on the side apart
    flat_rate, side_rate = config.slippage + config.fee, config.slippage * config.fee
    floor = config.ruin_fraction * INITIAL_EQUITY

    held = accounts.units * open_price
    equity_at_open = accounts.cash + held
    gap = target * equity_at_open - held
    side = np.sign(gap)
    cost_rate = flat_rate + side * side_rate
    changed = (target != accounts.target) & (equity_at_open > floor)
    traded = np.abs(gap / (1.0 + side * cost_rate * target)) * changed
    trading_cost = cost_rate * traded
    equity_traded = equity_at_open - trading_cost
    units = np.where(changed, target * equity_traded / open_price, accounts.units)
    cash = np.where(changed, equity_traded - units * open_price, accounts.cash)
    entry_equity = np.where(changed, equity_traded, accounts.entry_equity)

    notional = units * close_price
    holding_cost = config.funding_rate * notional + config.borrow_rate * np.maximum(-notional, 0.0)
    cash -= holding_cost
    equity = cash + notional

    ruined_at_open = equity_traded <= floor
    ruined = ruined_at_open | (equity <= floor)
    if ruined.any():
        holding_cost[ruined_at_open] = 0.0
        units[ruined] = 0.0
        cash[ruined] = floor
        equity[ruined] = floor
        target = np.where(ruined, 0.0, target)
        entry_equity[ruined] = floor

    after = Accounts(
        cash=cash,
        units=units,
        target=target.copy(),
        equity=equity,
        entry_equity=entry_equity,
        peak=np.maximum(accounts.peak, equity),
    )
    outcome = BarOutcome(
        reward=np.log(equity / accounts.equity),
        cost=trading_cost + holding_cost,
        turnover=traded / np.maximum(equity_at_open, floor),
        ruined=ruined,
    )
    return after, outcome


def reopen(accounts: Accounts, which: npt.NDArray[np.bool_]) -> Accounts:
    """The same accounts with those of `which`, [N], as `open_accounts` makes them."""
    new = open_accounts(len(which))
    return Accounts(
        cash=np.where(which, new.cash, accounts.cash),
        units=np.where(which, new.units, accounts.units),
        target=np.where(which, new.target, accounts.target),
        equity=np.where(which, new.equity, accounts.equity),
        entry_equity=np.where(which, new.entry_equity, accounts.entry_equity),
        peak=np.where(which, new.peak, accounts.peak),
    )
