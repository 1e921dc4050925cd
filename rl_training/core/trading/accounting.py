"""The accounting of trades: the only module that computes cash, equity, costs and rewards.

`trade_bar` is pure and updates N accounts at once. Training, evaluation and the reference portfolios all use it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled
from rl_training.core.config import EnvironmentConfig

FloatArray = npt.NDArray[np.float64]

INITIAL_EQUITY = 1.0

ACCOUNT_FIELDS = ("cash", "units", "target", "equity", "entry_equity", "peak")
CASH, UNITS, TARGET, EQUITY, ENTRY_EQUITY, PEAK = range(6)
REWARD, COST, TURNOVER = range(3)

# Fee, slippage, borrow rate, funding rate, and the equity at or below which an account is ruined.
Rates = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Accounts:
    """N accounts at the close of a bar; every property is [N]. Money is in multiples of the initial equity.

    The fields are rows of one array, because the call from Python into compiled code gets slower with each array that
    is passed: `trade_bar` on 8 accounts takes 4 us with one array, 7 us with six, 21 us with a NamedTuple of six.
    """

    rows: FloatArray  # [6, N], in the order of ACCOUNT_FIELDS

    @property
    def cash(self) -> FloatArray:
        """Negative when the position is levered."""
        return self._row(CASH)

    @property
    def units(self) -> FloatArray:
        """Units of the market held; negative when short."""
        return self._row(UNITS)

    @property
    def target(self) -> FloatArray:
        """The position last traded to, as a fraction of equity."""
        return self._row(TARGET)

    @property
    def equity(self) -> FloatArray:
        """Cash + units x close."""
        return self._row(EQUITY)

    @property
    def entry_equity(self) -> FloatArray:
        """Equity just after the last trade, its costs paid."""
        return self._row(ENTRY_EQUITY)

    @property
    def peak(self) -> FloatArray:
        """The highest equity at a close so far."""
        return self._row(PEAK)

    def _row(self, field: int) -> FloatArray:
        row: FloatArray = self.rows[field]
        return row


@dataclass(frozen=True, slots=True)
class BarOutcome:
    """The results of one bar for N accounts; every field is [N]."""

    reward: FloatArray  # log(equity at this close / equity at the previous close)
    cost: FloatArray  # fee, slippage, funding and borrow of this bar; negative when funding received exceeds the rest
    turnover: FloatArray  # traded notional / equity, both at the open
    ruined: npt.NDArray[np.bool_]


def open_accounts(count: int) -> Accounts:
    """Return flat accounts that hold the initial equity in cash."""
    rows = np.full((len(ACCOUNT_FIELDS), count), INITIAL_EQUITY)
    accounts = Accounts(rows)
    accounts.units[:] = accounts.target[:] = 0.0
    return accounts


def reopen(accounts: Accounts, which: npt.NDArray[np.bool_]) -> Accounts:
    """Return a copy of the accounts in which those marked in `which`, [N], are new, as from `open_accounts`."""
    return Accounts(np.where(which, open_accounts(len(which)).rows, accounts.rows))


def cost_rates(config: EnvironmentConfig) -> Rates:
    """Return the rates of `config` that `trade_bar_into` takes."""
    ruin = config.ruin_fraction * INITIAL_EQUITY
    return config.fee, config.slippage, config.borrow_rate, config.funding_rate, ruin


def trade_bar(
    accounts: Accounts, target: FloatArray, open_price: FloatArray, close_price: FloatArray, config: EnvironmentConfig
) -> tuple[Accounts, BarOutcome]:
    """Trade to the target positions at a bar's open, hold through the bar, and value the accounts at its close.

    All arrays are [N]; the prices belong to the bar after the decision. With x = units x open and E = cash + x, both
    before the trade, an account whose new target p differs from its present target trades the notional

        dx = (p E - x) / (1 + s k p),    s = sign(p E - x),    k = slippage + fee (1 + s slippage)

    The trade costs k |dx| (the slippage against the open, and the fee on the notional at the price paid) and leaves
    exactly units x open = p (E - k |dx|): the exposure is p of the equity after costs. At the close, with the notional
    n = units x close, the holding cost funding_rate x n + borrow_rate x max(-n, 0) is taken from cash.

    An account is ruined when its equity is at or below ruin_fraction of the initial equity, at the open after its
    trade or at the close. Its position is then closed and its equity is set to exactly that floor, whatever the gap or
    the cost of closing would have left; the cost and the turnover of this closing trade are not counted. A ruined
    account keeps this state on all later bars.
    """
    after, outcome, ruined = np.empty((6, len(target))), np.empty((3, len(target))), np.empty(len(target), np.bool_)
    trade_bar_into(accounts.rows, target, open_price, close_price, cost_rates(config), after, outcome, ruined)
    reward, cost, turnover = outcome
    return Accounts(after), BarOutcome(reward, cost, turnover, ruined)


@compiled
def _trade(gap: float, target: float, fee: float, slippage: float) -> tuple[float, float]:
    """Return the notional |dx| traded and its cost k |dx|, for gap = p E - x; see `trade_bar` for the formula."""
    side = np.sign(gap)
    cost_rate = slippage + fee * (1.0 + side * slippage)
    traded = abs(gap / (1.0 + side * cost_rate * target))
    return traded, cost_rate * traded


@compiled
def trade_bar_into(
    before: FloatArray,
    targets: FloatArray,
    opens: FloatArray,
    closes: FloatArray,
    rates: Rates,
    after: FloatArray,
    outcome: FloatArray,
    ruined: npt.NDArray[np.bool_],
) -> None:
    """Do the work of `trade_bar` in compiled code, and write the results into `after`, `outcome` and `ruined`.

    `before` and `after`, [6, N], have the rows of `Accounts`; `outcome`, [3, N], has reward, cost and turnover.
    """
    fee, slippage, borrow_rate, funding_rate, floor = rates
    for i in range(len(targets)):
        target, cash, units, entry_equity = targets[i], before[CASH, i], before[UNITS, i], before[ENTRY_EQUITY, i]

        held = units * opens[i]
        equity_at_open = cash + held
        equity_traded, traded, trading_cost = equity_at_open, 0.0, 0.0
        if target != before[TARGET, i] and equity_at_open > floor:
            traded, trading_cost = _trade(target * equity_at_open - held, target, fee, slippage)
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

        after[CASH, i], after[UNITS, i], after[TARGET, i] = cash, units, target
        after[EQUITY, i], after[ENTRY_EQUITY, i], after[PEAK, i] = equity, entry_equity, max(before[PEAK, i], equity)
        outcome[REWARD, i] = math.log(equity / before[EQUITY, i])
        outcome[COST, i] = trading_cost + holding_cost
        outcome[TURNOVER, i] = traded / max(equity_at_open, floor)
