"""Names that the tests and the rows of the site share."""

from typing import Any

PASSWORD = "for-tests"
# Each text sets `hacked` if a page interprets the text as markup. A name has at most 50 characters.
HOSTILE = ('<img src=x onerror="window.hacked=1">', "</script><script>window.hacked=1</script>")
# The policy that tests train, and the seeds and episodes of its runs, which take some seconds.
LIVE = "momentum"
LIVE_SEEDS, LIVE_EPISODES = 2, 60
# Policies with versions 1 and 2: of PROMOTED, version 1 is live; of ROLLED_BACK, version 2, for three days.
PROMOTED, ROLLED_BACK = "promoted", "rolled_back"
# Policies on markets with and without structure, whose recipes tests walk forward.
PLANTED, NOISY = "planted_waves", "planted_noise"
# The longest possible name.
LONG = "mean_reversion_of_the_dollar_against_the_yen_daily"
# The policies that are trained for the screenshots, beside `rl_v3`, with their settings. GOLD names a file that is
# missing, so its runs fail. The market of DECIDED grows while the screenshots are taken; two of its arms are compared.
GOLD = "gold_daily"
DECIDED, GROWING = "waves", "waves.csv"
UNTRAINED: dict[str, dict[str, Any]] = {
    "nasdaq_trend": {"market": {"source": "nasdaq"}, "interval_minutes": 30, "episodes_per_run": 4},
    "sp500_long_flat": {"environment": {"positions": [0.0, 1.0]}, "interval_minutes": 120},
    "nasdaq_low_cost": {"market": {"source": "nasdaq"}, "environment": {"fee": 0.0001}, "interval_minutes": 240},
    DECIDED: {"market": {"source": "file", "path": GROWING}, "interval_minutes": 1440},
    GOLD: {"market": {"source": "file", "path": "gold/daily.csv"}, "interval_minutes": 1440},
}
