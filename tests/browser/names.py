"""What the tests and the stored rows have in common."""

PASSWORD = "for-tests"
# Each sets `hacked` where it is taken for markup. Names have 50 characters at most.
HOSTILE = ('<img src=x onerror="window.hacked=1">', "</script><script>window.hacked=1</script>")
# The policy that tests train, and the episodes of its runs: some seconds.
LIVE = "momentum"
LIVE_EPISODES = 120
# As long as a name may be.
LONG = "mean_reversion_of_the_dollar_against_the_yen_daily"
