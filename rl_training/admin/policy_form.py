"""The form by which the admin edits a policy."""

from rl_training.admin.config_field import ConfigField
from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore
from rl_training.policy_edits import PolicyForm


class PolicyStoreForm(PolicyForm):
    """All settings of a policy."""

    market = ConfigField(MarketConfig)
    environment = ConfigField(EnvironmentConfig)
    ppo = ConfigField(PPOConfig)

    class Meta(PolicyForm.Meta):
        fields = PolicyStore.SETTINGS
