"""Requesting a validation: which recipe is walked forward, and whether that is a trial."""

import copy
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from rl_training import settings_change
from rl_training.core.config import SECTIONS, TrainingConfig
from rl_training.core.market.bars import MarketDataError
from rl_training.core.run.recipe import recipe_digest
from rl_training.core.run.walk_forward.folds import FOLDS, plan_folds
from rl_training.core.run.walk_forward.verdict import BUY_AND_HOLD, FLAT, SIGN_RULES, TRAINED_ONCE
from rl_training.models import MustBeat, PolicyStore, Trial, Validation, ValidationStep
from rl_training.models.version_results import MARKET_LENGTH
from rl_training.trainable import insufficient, number_of_bars
from rl_training.validation import steps, trials

MOST_FOLDS = 100
LAST_SEED = 2**32 - 1
REFERENCES = {
    MustBeat.FLAT: [FLAT],
    MustBeat.BUY_AND_HOLD: [FLAT, BUY_AND_HOLD],
    MustBeat.ALL: [FLAT, BUY_AND_HOLD, TRAINED_ONCE, *SIGN_RULES],
}


class AlreadyValidatingError(Exception):
    """The recipe has a validation that has not ended: `validation`."""

    def __init__(self, validation: Validation) -> None:
        super().__init__(f"This recipe is being walked forward already: validation {validation}.")
        self.validation = validation


class OptionsError(Exception):
    """The option `field` does not fit; the message says what would be right."""

    def __init__(self, message: str, field: str = "folds") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Options:
    """A user's options for one validation; the policy's settings decide the rest.

    window   number of last bars that each fold trains on; None: all bars before the fold
    changes  changed settings in the form of `settings_change.assign`, to try a recipe other than the policy's
    """

    folds: int = FOLDS
    window: int | None = None
    seed: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `OptionsError` if an option is out of range."""
        if not 1 <= self.folds <= MOST_FOLDS:
            raise OptionsError(f"folds: {self.folds}; it must be a number from 1 to {MOST_FOLDS}.")
        if self.window is not None and not 1 <= self.window < 2**31:
            raise OptionsError(f"window: {self.window}; it must be a number of bars, at least 1.", "window")


AS_CONFIGURED = Options()


@dataclass(frozen=True)
class Recipe:
    """A recipe with its digest: the settings of a run, the start rule and the window."""

    config: TrainingConfig
    start_from: str
    window: int | None
    must_beat: list[str]

    @property
    def digest(self) -> str:
        return recipe_digest(self.config, self.start_from, self.window)


def recipe_of(policy: PolicyStore, options: Options = AS_CONFIGURED) -> Recipe:
    """Return the recipe of the policy, changed by the options.

    Raises `InvalidConfigError` when a config is stored invalid, and `SettingsRefusedError` for refused changes.
    """
    changed = copy.copy(policy)
    if options.changes:
        settings_change.assign(changed, options.changes)
    seed = random.SystemRandom().randint(0, LAST_SEED) if options.seed is None else options.seed
    must_beat = REFERENCES[MustBeat(changed.must_beat)]
    return Recipe(changed.training_config(seed=seed), changed.start_from, options.window, must_beat)


def request(
    policy: PolicyStore, options: Options = AS_CONFIGURED, *, user: Any = None, send_message: bool = True
) -> Validation:
    """Queue a walk-forward of the policy's recipe, and notify a worker after the commit.

    The walk-forward is a trial unless the recipe is validated; then it monitors the validation in force. Raises
    `AlreadyValidatingError`, `OptionsError`, `InvalidConfigError` and `SettingsRefusedError`.
    """
    options.check()
    recipe = recipe_of(policy, options)
    if monitored_by(recipe) is None:
        _check_bars(recipe, options)
    try:
        with transaction.atomic():
            validation = _create(policy, recipe, options.folds, user)
            if send_message:
                steps.notify()
    except IntegrityError:
        active = _active(recipe.digest)
        if active is None:
            raise
        raise AlreadyValidatingError(active) from None
    return validation


def _check_bars(recipe: Recipe, options: Options) -> None:
    """Raise `OptionsError` if the market cannot be read or has too few bars: a trial counts even if it trains nothing.

    A window that has no effect would make another recipe, and so another trial, of the same computation.
    """
    market, environment = recipe.config.market, recipe.config.environment
    try:
        planned = plan_folds(number_of_bars(market), environment, folds=options.folds, window=options.window)
    except MarketDataError as error:
        raise OptionsError(str(error), "folds" if options.window is None else "window") from None
    # Each fold trains on all of its bars.
    if problems := insufficient(market.model_copy(update={"train_fraction": 1.0}), environment):
        raise OptionsError(problems[0].message)
    if options.window is not None and options.window >= planned[-1].train_end:
        longest = planned[-1].train_end
        raise OptionsError(f"No fold has more than {longest} bars to train on; leave the window out.", "window")


def _create(policy: PolicyStore, recipe: Recipe, folds: int, user: Any) -> Validation:
    active = _active(recipe.digest)
    if active is not None:
        raise AlreadyValidatingError(active)
    market, monitored = recipe.config.market, monitored_by(recipe)
    trial = None
    if monitored is None:
        trial = trials.begin(market, Trial.Kind.WALK_FORWARD, recipe=recipe.digest, policy=policy.name)
    validation = Validation.objects.create(
        policy=policy,
        trial=trial,
        monitored=monitored,
        config=recipe.config.model_dump(mode="json"),
        start_from=recipe.start_from,
        window=recipe.window,
        folds=monitored.folds if monitored else folds,
        must_beat=recipe.must_beat,
        recipe=recipe.digest,
        market_key=trials.ledger_key(market),
        market=market.label[:MARKET_LENGTH],
        requested_by=user,
    )
    ValidationStep.objects.create(validation=validation, kind=ValidationStep.Kind.PREPARE)
    return validation


def monitored_by(recipe: Recipe) -> Validation | None:
    """Return the validation that a walk-forward of the recipe would monitor, or None if it would be a trial.

    A validation that had to beat less than the policy requires now does not count, so another trial may replace it.
    """
    return in_force(recipe.digest, recipe.must_beat)


def in_force(recipe: str, must_beat: Collection[str]) -> Validation | None:
    """Return the newest validation in force of the recipe with this digest that had to beat all of `must_beat`."""
    found = Validation.objects.in_force().of_recipe(recipe)
    return next((one for one in found if set(must_beat) <= set(one.must_beat)), None)


def _active(recipe: str) -> Validation | None:
    return Validation.objects.active().of_recipe(recipe).select_related("policy").first()


def changes_of(texts: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by path, such as `ppo.gamma` and `seeds`, in the form that `settings_change.assign` accepts.

    `training.` may precede settings outside of the sections. Raises `SettingsRefusedError` for an unknown path and
    for a setting that is given twice, as by `seeds` and `training.seeds`.
    """
    found: dict[str, Any] = {}
    for path, value in texts.items():
        section, _, name = path.removeprefix("training.").partition(".")
        if name and section not in SECTIONS:
            raise settings_change.SettingsRefusedError({path: f"There is no section {section}."})
        place, key = (found.setdefault(section, {}), name) if name else (found, section)
        if not isinstance(place, dict) or key in place:
            raise settings_change.SettingsRefusedError({path: "Given more than once."})
        place[key] = value
    return found
