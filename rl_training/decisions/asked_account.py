"""The account for which a caller asks a decision."""

import pydantic

from rl_training.core.base_config import Config


class AskedAccount(Config):
    """The account of a caller, as a policy observes it."""

    position: float = pydantic.Field(ge=-20, le=20, description="Units x price / equity; negative when short.")
    unrealised_log_return: float = pydantic.Field(
        ge=-100, le=100, description="log(equity / equity just after the last trade)."
    )
    drawdown: float = pydantic.Field(ge=0, le=1, description="1 - equity / highest equity so far.")
