"""The page that answers whether price data is usable."""

from datetime import datetime
from typing import Any

import pydantic
from django import forms
from django.http import Http404, QueryDict

from dashboard.access import Page
from dashboard.charts.prices import closes
from dashboard.charts.series import Chart, Series
from dashboard.charts.views import ChartData
from dashboard.pages.market.upload import UPLOAD, UploadForm
from dashboard.templatetags.cells import lasting, title
from rl_training.core.config import EnvironmentConfig
from rl_training.core.config_problems import find_problems
from rl_training.core.market.reading import WORDS
from rl_training.core.market_config import FILE_FIELDS, MarketConfig
from rl_training.market_checks import checked, columns_of
from rl_training.market_files import offered_files
from rl_training.models import PolicyStore
from rl_training.trainable import insufficient

# Settings that the form offers as choices.
CHOICES = {
    "format": MarketConfig.model_json_schema()["properties"]["format"]["enum"],
    "day_first": ("auto", "yes", "no"),
    "decimal": ("auto", ".", ","),
    "adjust": ("auto", "none"),
    "bad_rows": ("refuse", "drop"),
    "suspicious": ("refuse", "warn"),
}
POLICIES_NAMED = 100
# The labels of the facts about reading, by their name in the check.
READ_AS = {
    "layout": "Layout",
    "compression": "Compression",
    "separator": "Separator",
    "decimal": "Decimal sign",
    "columns": "Columns",
    "unused": "Unused columns",
    "features": "Columns that can be features",
    "no_features": "Columns that cannot be features",
    "zone": "Time zone",
    "bars": "Bars",
    "first": "First bar",
    "last": "Last bar",
    "days": "Span",
    "spacing_seconds": "Spacing",
    "gaps": "Missing bars",
    "has_volume": "Volume",
    "repairs": "Repairs",
    "drops": "Dropped rows",
    "notes": "Notes",
}


class MarketForm(forms.Form):
    """A file and how to read it. The form's values are the query of the page's URL."""

    path = forms.CharField(max_length=500, label="File", widget=forms.TextInput(attrs={"list": "market-files"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in FILE_FIELDS:
            field = MarketConfig.model_fields[name]
            hint = (field.description or "").removeprefix("For source=file").lstrip(":. ")
            if name in CHOICES:
                choices = [(value, value) for value in CHOICES[name]]
                self.fields[name] = forms.ChoiceField(choices=choices, required=False, help_text=hint)
            elif name == "columns":
                self.fields[name] = forms.JSONField(required=False, help_text=f'{hint} As JSON: {{"close": "4"}}.')
            elif name == "skip_rows":
                self.fields[name] = forms.IntegerField(required=False, min_value=0, max_value=300, help_text=hint)
            else:
                self.fields[name] = forms.CharField(required=False, max_length=64, help_text=hint)

    def config(self) -> MarketConfig | None:
        """Return the market, or None with the problems added to their fields."""
        if not self.is_valid():
            return None
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        try:
            return MarketConfig.model_validate({"source": "file", **given})
        except pydantic.ValidationError as error:
            for path, message in find_problems(error):
                name = path.partition(".")[0]
                self.add_error(name if name in self.fields else None, message)
        return None


def requested(query: QueryDict) -> tuple[MarketForm, MarketConfig | None, tuple[str, ...]]:
    """Return the form and the market that the URL names: the market of a policy, or a file with settings.

    Also return the names of the further columns that the policy observes.
    """
    if "policy" in query:
        policy = PolicyStore.objects.filter(name=query["policy"]).first()
        if policy is None:
            raise Http404("There is no such policy.")
        market = policy.market
        if not isinstance(market, MarketConfig):
            form = MarketForm({})
            form.errors.clear()
            for problem in market.problems:
                form.add_error(None, f"The stored market of {policy} is invalid: {problem}")
            return form, None, ()
        values = {name: getattr(market, name) for name in ("path", *FILE_FIELDS)}
        return MarketForm(initial=values | {"columns": market.columns or None}), market, columns_of(policy)
    if "path" not in query:
        return MarketForm(), None, ()
    form = MarketForm(query)
    return form, form.config(), ()


def shown(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return how a market was read as pairs of a name and a text."""
    found = []
    for name, label in READ_AS.items():
        value = facts.get(name)
        if value in (None, "", [], {}):
            continue
        if name in ("repairs", "drops"):
            value = ", ".join(f"{WORDS.get(kind, kind)}: {count:,}" for kind, count in value.items())
        elif name == "columns":
            value = ", ".join(f"{role}: {column}" for role, column in value.items())
        elif name == "no_features":
            value = "; ".join(f"{column}: {why}" for column, why in value.items())
        elif name in ("first", "last"):
            value = title(datetime.fromisoformat(value))
        elif name == "days":
            value = f"{value:,.0f} days" if value >= 2 else lasting(86_400 * value)
        elif name == "spacing_seconds":
            value = lasting(value)
        elif isinstance(value, list):
            value = "; ".join(value) if name == "notes" else ", ".join(value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        found.append((label, f"{value:,}" if isinstance(value, int) else str(value)))
    return found


def shortages(config: MarketConfig, name: str | None) -> dict[str, Any]:
    """Return the policy and why its runs cannot train on the market's bars; without a policy, with default settings."""
    policy = PolicyStore.objects.filter(name=name).first() if name else None
    environment = policy.environment if policy else EnvironmentConfig()
    found = insufficient(config, environment) if isinstance(environment, EnvironmentConfig) else []
    return {"policy": policy, "shortages": found}


def users_of(config: MarketConfig) -> list[str]:
    """Return the names of the policies that use the same market, whatever their settings about reading it."""
    same = PolicyStore.objects.filter(market__source=config.source).order_by("name")
    if config.source == "file":
        same = same.filter(market__path=config.path)
    if config.source == "exchange":
        same = same.filter(market__exchange=config.exchange, market__symbol=config.symbol)
    return list(same.values_list("name", flat=True)[:POLICIES_NAMED])


class MarketPage(Page):
    """A market: usable or not and why, its closes, how it was read, and which policies use it; a form for files."""

    template_name = "dashboard/market/market.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form, config, columns = requested(self.request.GET)
        found: dict[str, Any] = {}
        if config is not None:
            market = checked(config, columns)
            chart = closes(market)
            suspicions = [
                (WORDS.get(kind, kind), of["count"], of["examples"]) for kind, of in market.facts["suspicions"].items()
            ]
            found = {
                "config": config,
                "market": market,
                "charts": {"close": chart} if chart else {},
                "read_as": shown(market.facts),
                **shortages(config, self.request.GET.get("policy")),
                "suspicions": suspicions,
                "policies": users_of(config),
            }
        return super().get_context_data(
            form=form,
            files=offered_files(),
            upload=UploadForm() if self.request.user.has_perm(UPLOAD) else None,
            query=self.request.GET.urlencode(),
            **found,
            **kwargs,
        )


class MarketChart(ChartData):
    """The closes of the market that the URL names."""

    def chart(self, **_: Any) -> Chart:
        _form, config, columns = requested(self.request.GET)
        chart = closes(checked(config, columns)) if config is not None else None
        return chart or Chart("Close", "No bars are known.", "Bar", (), (Series("Close", ()),), time=True)
