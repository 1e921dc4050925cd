"""Hypothesis profiles: 100 cases by default, 10,000 with HYPOTHESIS_PROFILE=thorough."""

import os

from hypothesis import settings

settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("thorough", max_examples=10_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
