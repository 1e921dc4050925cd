"""The learning core: market data, environment, PPO. Knows nothing of Django, Celery or Redis."""

__version__ = "1"
