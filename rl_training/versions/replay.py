"""Replay: trains a finished run again from its stored data, without writing a row, and compares the results."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.conf import settings
from pydantic import ValidationError

from rl_training.core.config import TrainingConfig
from rl_training.core.config_problems import find_problems, format_problems
from rl_training.core.evaluation.equity_curves import TIMES, thinned, without_curves
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.sources import load_market
from rl_training.core.sealed import CheckpointError
from rl_training.files import artifacts, bars
from rl_training.flat_settings import differences, flatten
from rl_training.models import PolicyVersion, TrainingRun

if TYPE_CHECKING:
    from rl_training.core.market.bars import MarketData
    from rl_training.core.run.checkpoint import SavedPolicy


class Kind(StrEnum):
    """The kinds of differences between a run and its replay. Differences are reported in the order of these kinds."""

    BARS = "bars"
    INITIAL_WEIGHTS = "initial weights"
    CODE = "code"
    LIBRARIES = "libraries"
    KERNELS = "kernels"
    THREADS = "threads"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Difference:
    kind: Kind
    text: str

    def as_dict(self) -> dict[str, str]:
        """Return the difference as JSON values."""
        return {"kind": str(self.kind), "text": self.text}


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    sha256              digest of the run's weights
    replayed_sha256     digest of the replay's weights; None if the replay could not train
    differing_metrics   the metrics of the evaluation that differ
    differences         differences between run and replay, in the order of `Kind`; if the results are equal, they had
                        no effect
    notes               differences in data that the replay did not use
    """

    version: int
    sha256: str
    replayed_sha256: str | None = None
    differing_metrics: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[Difference, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether weights and evaluation are the same, bit for bit."""
        return self.sha256 == self.replayed_sha256 and not self.differing_metrics


class NoVersionError(Exception):
    """The run made no version, so there is nothing to compare a replay with."""


class _CannotTrainError(Exception):
    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.difference = Difference(kind, text)


def replay(run: TrainingRun) -> Replay:
    """Train the run again and compare the weights and the evaluation with those of its version.

    The bars come from the storage, or from the source if it still returns the same bars. No row and no file is written.
    Raises `NoVersionError`, and `OSError` when the storage does not answer.
    """
    version = PolicyVersion.objects.filter(run=run).first()
    if version is None:
        raise NoVersionError(f"run {run.run_id} made no version: it is {run.status}")
    notes: list[Difference] = []
    try:
        return _train_again(run, version, notes)
    except _CannotTrainError as error:
        return Replay(version.number, version.sha256, differences=(error.difference,), notes=tuple(notes))


def _train_again(run: TrainingRun, version: PolicyVersion, notes: list[Difference]) -> Replay:
    # torch is imported here: web and beat import other modules of this room.
    from rl_training.core.run.computing_environment import computing_environment
    from rl_training.core.run.training import train

    try:
        config = TrainingConfig.model_validate(run.config)
    except ValidationError as error:
        problems = format_problems(find_problems(error))
        raise _CannotTrainError(Kind.CODE, f"this release refuses the run's settings: {problems}") from None
    market = _bars_of(run, config, notes)
    initial_policy = _initial_policy(run.started_from)
    stored = run.computing_environment
    threads = (stored or {}).get("threads") or settings.TRAINING_THREADS
    now = computing_environment(config, threads)
    result = train(config, market, initial_policy=initial_policy, threads=threads)
    evaluation = as_stored(result.stored_evaluation, version.evaluation)
    metrics = [name for name, value in version.evaluation.items() if evaluation.get(name) != value]
    found = environment_differences(stored, now)
    if not found and (metrics or result.weights_digest != version.sha256):
        found = [Difference(Kind.UNKNOWN, "nothing that the run stored differs")]
    return Replay(
        version.number, version.sha256, result.weights_digest, tuple(sorted(metrics)), tuple(found), tuple(notes)
    )


def as_stored(evaluation: Mapping[str, Any], stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an evaluation with as many points in its curves as the run's stored evaluation has."""
    points = len(stored.get(TIMES, ()))
    forms = [evaluation, thinned(evaluation), without_curves(evaluation)]
    return next((form for form in forms if len(form.get(TIMES, ())) == points), evaluation)


def environment_differences(stored: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[Difference]:
    """Return the differences between a run's stored computing environment, if any, and the present one, in order."""
    if stored is None:
        return [Difference(Kind.UNKNOWN, "the run is of a release that did not store versions and kernels")]
    found = []
    attempts = [("", {name: value for name, value in stored.items() if name != "earlier"})]
    attempts += [(" in an earlier attempt", environment) for environment in stored.get("earlier", [])]
    for attempt, environment in attempts:
        for change in differences(flatten(environment), flatten(now)):
            kind = _KINDS.get(change["field"].partition(".")[0], Kind.KERNELS)
            found.append(Difference(kind, f"{change['field']}: {change['old']}{attempt}, {change['new']} now"))
    if now["threads"] is not None and all(difference.kind != Kind.THREADS for difference in found):
        text = "the networks have more than a million parameters: torch sums their gradients in an order that depends"
        found.append(Difference(Kind.THREADS, f"{text} on its threads"))
    return sorted(found, key=lambda difference: list(Kind).index(difference.kind))


# The kinds of the keys of a computing environment; the others are kernels.
_KINDS = {"code": Kind.CODE, "libraries": Kind.LIBRARIES, "threads": Kind.THREADS}


def _bars_of(run: TrainingRun, config: TrainingConfig, notes: list[Difference]) -> "MarketData":
    """Return the bars of the run from the storage, or from the source if it still returns the same bars."""
    summary = run.market_summary if isinstance(run.market_summary, dict) else {}
    digest = run.bars_digest or str(summary.get("digest", ""))
    stored, source = None, None
    try:
        stored = bars.fetch(digest)
        why = ""
    except FileNotFoundError:
        why = f"the bars {digest} are not stored"
    except bars.DamagedBarsError as error:
        why = str(error)
    try:
        source = load_market(
            config.market,
            root=settings.MARKET_DATA_ROOT,
            until=run.started_at,
            columns=config.environment.own_columns,
        )
        gives = f"the source gives other bars now: {source}" if source.digest != digest else ""
    except MarketDataError as error:
        gives = f"the source gives no bars now: {error}"
    if stored is not None:
        if gives:
            notes.append(Difference(Kind.BARS, gives))
        return stored
    if source is not None and not gives:
        notes.append(Difference(Kind.BARS, f"{why}; the source gives the same"))
        return source
    raise _CannotTrainError(Kind.BARS, f"{why}, and {gives}")


def _initial_policy(version: PolicyVersion | None) -> "SavedPolicy | None":
    """Return the policy that the run started from; None for scratch."""
    if version is None:
        return None
    try:
        policy = artifacts.load(version.artifact)
    except (FileNotFoundError, CheckpointError) as error:
        text = f"version {version.number}, which the run started from, cannot be read: {error}"
        raise _CannotTrainError(Kind.INITIAL_WEIGHTS, text) from None
    if policy.digest != version.sha256:
        text = f"the files of version {version.number}, which the run started from, hold other weights now"
        raise _CannotTrainError(Kind.INITIAL_WEIGHTS, text)
    return policy
