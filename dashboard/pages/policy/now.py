"""The tab *Now* of a policy: what is live, how it performs, the runs under way, and the settings."""

from typing import Any

from dashboard.charts.evaluations import shown
from dashboard.charts.results import result_of_version
from dashboard.pages import system_state
from dashboard.pages.deploying.history import TimeForm
from dashboard.pages.deploying.shown import live_context
from dashboard.pages.policy.tabs import PolicyTab
from dashboard.pages.run_configs import market_rows
from dashboard.pages.validating.shown import consequence
from rl_training.core.base_config import Config
from rl_training.core.config import SECTIONS
from rl_training.core.market_config import MarketConfig, with_effect
from rl_training.files.evaluations import complete
from rl_training.models import InvalidConfig, PolicyStore, PolicyVersion
from rl_training.models.columns import large_run_columns
from rl_training.runs.next_start import next_start
from rl_training.validation import gate


class PolicyPage(PolicyTab):
    """The answer to what is live and why, the newest version's result, the state of training, and the settings."""

    template_name = "dashboard/policy/now.html"
    tab = "policy"

    def content(self, policy: Any, again: bool) -> dict[str, Any]:
        newest = policy.versions.order_by("-number").defer("evaluation").first()
        live = live_context(policy, self.request.user)
        standing = gate.standing_of(policy)
        always = {
            **live,
            "gate": standing,
            "consequence": consequence(policy, standing),
            "time_form": TimeForm(),
            "result": result_of_version(newest) if newest else None,
            "parts": system_state.parts(system_state.STATE.get()),
        }
        if again:
            return always
        deployed = live["live"].version_id if live["live"] else None
        version = _evaluated(deployed or (newest.pk if newest else None))
        return always | {
            "version": version,
            "evaluation": shown(complete(version)) if version else None,
            "settings": settings_of(policy),
            "data": last_data(policy),
            "start": next_start(policy),
        }


def _evaluated(version: int | None) -> PolicyVersion | None:
    """Return the version with its evaluation and its run."""
    if version is None:
        return None
    return PolicyVersion.objects.select_related("run").defer(*large_run_columns("run")).get(pk=version)


def last_data(policy: PolicyStore) -> tuple[str, dict[str, Any]] | None:
    """Return the id of the newest run that has loaded its bars, and what the run stored about the bars."""
    loaded = policy.runs.exclude(market_summary=None).order_by("-queued_at")
    found = loaded.values_list("run_id", "market_summary").first()
    return (found[0], market_rows(found[1])) if found else None


def settings_of(policy: PolicyStore) -> list[dict[str, Any]]:
    """Return the name of each config with its `settings`, or with its `problems` if it is invalid.

    Settings that have no effect with the source of the market are left out.
    """
    return [{"name": name, **_settings(getattr(policy, name))} for name in SECTIONS]


def _settings(config: Config | InvalidConfig) -> dict[str, Any]:
    if isinstance(config, InvalidConfig):
        return {"problems": [str(problem) for problem in config.problems]}
    fields = type(config).model_fields
    shown = with_effect(config.model_dump()) if isinstance(config, MarketConfig) else fields
    return {"settings": [(name, _plain(getattr(config, name)), fields[name].description) for name in shown]}


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
