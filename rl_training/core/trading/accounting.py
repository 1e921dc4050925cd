"""What a decision does to an account: the only place where money is counted.

`trade_bar` is pure and works on N accounts at once; training, evaluation and the reference portfolios all use it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled
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
    after, outcome, ruined = np.empty((6, len(target))), np.empty((3, len(target))), np.empty(len(target), np.bool_)
    trade_bar_into(
        accounts.cash,
        accounts.units,
        accounts.target,
        accounts.equity,
        accounts.entry_equity,
        accounts.peak,
        target,
        open_price,
        close_price,
        cost_rates(config),
        after,
        outcome,
        ruined,
    )
    reward, cost, turnover = outcome
    return Accounts(*after), BarOutcome(reward, cost, turnover, ruined)


Rates = tuple[float, float, float, float, float]


def cost_rates(config: EnvironmentConfig) -> Rates:
    """What `trade_bar_into` goes by: fee, slippage, borrow rate, funding rate, and the equity of ruin."""
    ruin = config.ruin_fraction * INITIAL_EQUITY
    return config.fee, config.slippage, config.borrow_rate, config.funding_rate, ruin


@compiled
def trade_bar_into(
    cashes: FloatArray,
    all_units: FloatArray,
    held_targets: FloatArray,
    equities: FloatArray,
    entry_equities: FloatArray,
    peaks: FloatArray,
    targets: FloatArray,
    opens: FloatArray,
    closes: FloatArray,
    rates: Rates,
    after: FloatArray,
    outcome: FloatArray,
    ruined: npt.NDArray[np.bool_],
) -> None:
    """`trade_bar` for compiled code: `after`, [6, N], has the fields of Accounts, `outcome`, [3, N], of BarOutcome."""
    fee, slippage, borrow_rate, funding_rate, floor = rates
    for i in range(len(targets)):
        target, cash, units, entry_equity = targets[i], cashes[i], all_units[i], entry_equities[i]

        held = units * opens[i]
        equity_at_open = cash + held
        equity_traded, traded, trading_cost = equity_at_open, 0.0, 0.0
        if target != held_targets[i] and equity_at_open > floor:
            gap = target * equity_at_open - held
            side = np.sign(gap)
            cost_rate = slippage + fee * (1.0 + side * slippage)
            traded = abs(gap / (1.0 + side * cost_rate * target))
            trading_cost = cost_rate * traded
            equity_traded = entry_equity = equity_at_open - trading_cost
            units = target * equity_traded / opens[i]
            cash = equity_traded - units * opens[i]

        notional = units * closes[i]
        holding_cost = funding_rate * notional + borrow_rate * max(-notional, 0.0)
        cash -= holding_cost
        equity = cash + notional

        ruined_at_open = equity_traded <= floor
        ruined[i] = ruined_at_open or equity <= floor
        if ruined_at_open:
            holding_cost = 0.0
        if ruined[i]:
            target = units = 0.0
            cash = equity = entry_equity = floor

        after[0, i], after[1, i], after[2, i] = cash, units, target
        after[3, i], after[4, i], after[5, i] = equity, entry_equity, max(peaks[i], equity)
        outcome[0, i] = math.log(equity / equities[i])
        outcome[1, i] = trading_cost + holding_cost
        outcome[2, i] = traded / max(equity_at_open, floor)


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
