"""The scalar settings of a policy: their ranges and choices, and the validators and constraints that enforce these."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

MAX_INTERVAL_MINUTES = 366 * 24 * 60
MAX_EPISODES = 1_000_000
MAX_STALL_MINUTES = 24 * 60
MAX_RUN_MINUTES = 31 * 24 * 60
MAX_SEEDS = 32
MAX_NEW_BARS = 10_000_000
MAX_REVALIDATE_DAYS = 3_650
MAX_DEMOTION_BARS = 1_000_000_000
# The settings that are whole numbers, with the smallest and the largest value of each.
RANGES = {
    "interval_minutes": (1, MAX_INTERVAL_MINUTES),
    "episodes_per_run": (1, MAX_EPISODES),
    "seeds": (1, MAX_SEEDS),
    "min_new_bars": (0, MAX_NEW_BARS),
    "revalidate_days": (1, MAX_REVALIDATE_DAYS),
    "demotion_bars": (0, MAX_DEMOTION_BARS),
    "drawdown_limit": (1, 100),
    "stall_limit_minutes": (1, MAX_STALL_MINUTES),
    "run_limit_minutes": (1, MAX_RUN_MINUTES),
}


class StartFrom(models.TextChoices):
    """The weights that each run of a policy starts from."""

    SCRATCH = "scratch", "scratch: random weights"
    LIVE = "live", "live: the weights of the live version"
    NEWEST = "newest", "newest: the weights of the newest version"


class Promotion(models.TextChoices):
    """The rule that makes a new version of a policy live."""

    VALIDATED = "validated", "validated: the gate, if the recipe is validated and the version passes the guards"
    MANUAL = "manual", "manual: a person"
    NEWEST = "newest", "newest: the run that makes it"


class MustBeat(models.TextChoices):
    """The references that the account of a walk-forward has to beat."""

    FLAT = "flat", "flat: a flat account"
    BUY_AND_HOLD = "buy_and_hold", "buy_and_hold: a flat account, and buy and hold"
    ALL = "all", "all: these, the version that was trained once, and the sign rules"


class Fallback(models.TextChoices):
    """The consequence when a guard ends what is live."""

    FLAT = "flat", "flat: nothing is live"
    PREVIOUS = "previous", "previous: the version that was live before, or nothing"
    NONE = "none", "none: no guard acts"


# The settings whose values are choices.
CHOICES: dict[str, type[models.TextChoices]] = {
    "start_from": StartFrom,
    "promotion": Promotion,
    "must_beat": MustBeat,
    "fallback": Fallback,
}


def range_validators(field: str) -> list[MinValueValidator | MaxValueValidator]:
    """Return the validators of a setting that is a whole number."""
    minimum, maximum = RANGES[field]
    return [MinValueValidator(minimum), MaxValueValidator(maximum)]


def range_constraint(field: str) -> models.CheckConstraint:
    """Return the database constraint that refuses a `field` of a policy outside its range."""
    minimum, maximum = RANGES[field]
    return models.CheckConstraint(
        condition=Q(**{f"{field}__gte": minimum, f"{field}__lte": maximum}),
        name=f"policy_{field}_range",
        violation_error_message=f"{field}: {minimum} to {maximum:,}.",
    )


def choice_constraint(field: str) -> models.CheckConstraint:
    """Return the database constraint that refuses a `field` of a policy with a value that is not one of its choices."""
    words = CHOICES[field].values
    return models.CheckConstraint(
        condition=Q(**{f"{field}__in": words}),
        name=f"policy_{field}_known",
        violation_error_message=f"{field}: one of {', '.join(words)}.",
    )
