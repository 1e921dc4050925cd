"""The charts of one run: the rewards of its episodes, and PPO's metrics, from the curve that the run stores.

Other releases stored no curve or other keys, so a missing or unreadable value is shown as missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.charts.runs import UNIT, spread
from dashboard.charts.runs import episodes as chart_of_rewards
from dashboard.charts.series import FORMS, Chart, Form, Series, Value, drawable, drawn
from dashboard.templatetags.figures import figure
from rl_training.core.words import count_of
from rl_training.models import TrainingRun


@dataclass(frozen=True)
class Metric:
    """A metric of an iteration: the title of its chart, and what the values mean."""

    title: str
    meaning: str
    form: Form = "figure"


# Metrics by their name in the curve and in the entries of the progress stream.
METRICS = {
    "entropy": Metric(
        "Entropy of the actions",
        "In nats: 0 if the policy always takes the same action, largest if all are equally likely.",
    ),
    "approx_kl": Metric(
        "Approximate KL divergence", "How far an update moves the policy; values above about 0.05 are large steps."
    ),
    "clip_fraction": Metric("Clip fraction", "The share of steps that PPO's clipping held back.", "percent"),
    "explained_variance": Metric(
        "Explained variance",
        "The share of the returns' variance that the critic explains: 1 is perfect, 0 or less no better than the mean.",
    ),
    "policy_loss": Metric("Policy loss", "The clipped objective of the policy with its sign reversed."),
    "value_loss": Metric("Value loss", "The mean square error of the critic, in scaled rewards."),
}
EPISODES, HELD_OUT = "episodes", "held-out"


def charts_of(run: TrainingRun) -> dict[str, Chart]:
    """Return the charts of a run by the key in their URL; empty charts before the first values of an active run."""
    curve = run.curve
    if curve is None and run.finished_at is not None:
        # A run of an older release stored the rewards of its episodes alone.
        return {EPISODES: chart_of_rewards([run.episode_rewards], what_they_are="run")} if run.episode_rewards else {}
    rewards, metrics, measured = _part(curve, EPISODES), _part(curve, "iterations"), _part(curve, "held_out")
    # A run of an older release, or a run that trains on all bars, has no held-out rewards.
    found = {HELD_OUT: _held_out(measured)} if measured["x"] or run.finished_at is None else {}
    found |= {EPISODES: _chart("Training reward of each episode", UNIT, "figure", rewards, "reward", "episode")}
    for name, metric in METRICS.items():
        found[name] = _chart(metric.title, metric.meaning, metric.form, metrics, name, "iteration")
    return found


def chart_of(run_id: str, key: str) -> Chart | None:
    """Return a chart of the run with this id, or None when there is no such run or chart."""
    columns = ("curve", "episode_rewards", "finished_at")
    run = TrainingRun.objects.only(*columns).filter(run_id=run_id).first()
    return charts_of(run).get(key) if run else None


def _chart(title: str, meaning: str, form: Form, part: dict[str, Any], key: str, entry: str) -> Chart:
    places = part["x"]
    values = _values(part.get(key), len(places))
    width = part.get("width")
    what = f"{count_of(places[-1], entry).capitalize()}." if places else ""
    if isinstance(width, int) and width > 1:
        what += f" Each point is the mean of {width:,} {entry}s."
    summary = f"{what} {spread(values, FORMS[form])} {meaning}".strip()
    label = "Reward" if entry == "episode" else title
    series = (Series(label, values, key=key),)
    return Chart(title, summary, entry.capitalize(), places, series, form, x_form="count", x_key=entry)


def _held_out(part: dict[str, Any]) -> Chart:
    """Return the chart of the training and the held-out reward of the run's policy while it learns."""
    places = part["x"]
    training, held_out = (_values(part.get(name), len(places)) for name in ("training_reward", "held_out_reward"))
    newest = "Nothing is measured yet."
    if places:
        # A run that was cancelled, failed or goes on has iterations after its last measurement.
        ends = figure(training[-1]), figure(held_out[-1])
        newest = "Training {}, held-out {} after iteration {:,}.".format(*ends, places[-1])
    meaning = (
        "Log returns of an episode, after costs: with drawn actions on training bars, with the most probable actions "
        "on held-out bars. The curve does not influence the run."
    )
    series = (
        Series("Training", training, colour="third", spans=True, key="training_reward"),
        Series("Held-out", held_out, spans=True, key="held_out_reward"),
    )
    title = "Training and held-out reward"
    return Chart(title, f"{newest} {meaning}", "Iteration", places, series, x_form="count", x_key="iteration")


def _part(curve: Any, name: str) -> dict[str, Any]:
    """Return a part of the curve with a list of numbers `x`, which is empty when the part is unreadable."""
    part = curve.get(name) if isinstance(curve, dict) else None
    places = part.get("x") if isinstance(part, dict) else None
    readable = isinstance(places, list) and all(isinstance(place, int) and drawable(place) for place in places)
    return part if readable and isinstance(part, dict) else {"x": []}


def _values(values: Any, length: int) -> Sequence[Value]:
    if not isinstance(values, list) or len(values) != length:
        return [None] * length
    return [drawn(value) for value in values]
