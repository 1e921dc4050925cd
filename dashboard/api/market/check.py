"""The resource that checks price data: the object that `manage market_check --json` prints."""

from typing import Any, ClassVar

import pydantic
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.protocol.fields import finite
from dashboard.api.protocol.problem_details import InvalidInput
from dashboard.api.protocol.views import View
from dashboard.api.triggering import find_policy
from rl_training.core.config_problems import find_problems, format_problems
from rl_training.core.market_config import FILE_FIELDS, MarketConfig
from rl_training.market_checks import checked, columns_of, value_of

SETTINGS = MarketConfig.model_json_schema(mode="serialization")["properties"]
WHAT = ("policy", "path")


class Bar(serializers.Serializer):  # type: ignore[type-arg]
    timestamp = serializers.CharField(help_text="UTC, without an offset.")
    open = serializers.FloatField()
    high = serializers.FloatField()
    low = serializers.FloatField()
    close = serializers.FloatField()
    volume = serializers.FloatField(required=False, help_text="Absent if the market has no volume.")


class Suspicion(serializers.Serializer):  # type: ignore[type-arg]
    count = serializers.IntegerField()
    examples = serializers.ListField(child=serializers.CharField(), help_text="The first occurrences, in words.")


class MarketCheck(serializers.Serializer):  # type: ignore[type-arg]
    """Describes the answer in the schema; `MarketCheck.as_json` in `core/market/checking.py` builds the answer."""

    usable = serializers.BooleanField()
    problem = serializers.CharField(allow_null=True, help_text="Why the data is not usable; null if it is.")
    name = serializers.CharField()
    layout = serializers.CharField(help_text="The value of the setting `format`; without a file, the source.")
    compression = serializers.CharField()
    separator = serializers.CharField()
    decimal = serializers.CharField()
    columns = serializers.DictField(child=serializers.CharField(), help_text="The column of each role.")
    unused = serializers.ListField(child=serializers.CharField(), help_text="Columns without a role.")
    features = serializers.ListField(
        child=serializers.CharField(),
        help_text="Names for the setting `features`: the unused columns that hold numbers.",
    )
    no_features = serializers.DictField(
        child=serializers.CharField(), help_text="Why each other unused column cannot be a feature, by name."
    )
    zone = serializers.CharField(help_text="How the times of the bars were read, in words.")
    # The fields from here to `last_bars` are absent if no bars can be read.
    bars = serializers.IntegerField(required=False)
    first = serializers.DateTimeField(required=False)
    last = serializers.DateTimeField(required=False)
    days = serializers.FloatField(required=False, help_text="From the first to the last bar.")
    spacing_seconds = serializers.IntegerField(required=False)
    gaps = serializers.IntegerField(required=False, help_text="Bars that are missing.")
    has_volume = serializers.BooleanField(required=False)
    first_bars = Bar(many=True, required=False)
    last_bars = Bar(many=True, required=False)
    repairs = serializers.DictField(child=serializers.IntegerField(), help_text="Number of repairs by kind.")
    drops = serializers.DictField(child=serializers.IntegerField(), help_text="Number of dropped rows by kind.")
    suspicions = serializers.DictField(child=Suspicion(), help_text="By kind.")
    notes = serializers.ListField(child=serializers.CharField())


def parameter(name: str) -> OpenApiParameter:
    described = {key: value for key, value in SETTINGS[name].items() if key not in ("title", "default", "description")}
    if name == "columns":
        described = {"type": "string"}
    hint = SETTINGS[name]["description"].removeprefix("For source=file").lstrip(":. ")
    return OpenApiParameter(name, described, description=f"{hint} As JSON." if name == "columns" else hint)


class MarketCheckView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_policystore"}

    def query_parameters(self) -> tuple[str, ...]:
        return (*WHAT, *FILE_FIELDS)

    @extend_schema(
        summary="Check price data",
        description="Checks the market of the policy `policy`, or the file `path` below MARKET_DATA_ROOT; the other "
        "parameters are settings about how a file is read. Of an exchange, only the cached bars are read. A market "
        "that is not usable is not an error: `usable` is false and `problem` says why.",
        parameters=[
            OpenApiParameter("policy", str, description="The name of a policy."),
            OpenApiParameter("path", str, description="A file, relative to MARKET_DATA_ROOT."),
            *map(parameter, FILE_FIELDS),
        ],
        responses=MarketCheck,
    )
    def get(self, request: Request) -> Response:
        return Response(finite(checked(*requested(request.query_params.dict())).facts))


def requested(query: dict[str, str]) -> tuple[MarketConfig, tuple[str, ...]]:
    """Return the market that the parameters describe, and the further columns of its file that the policy observes.

    Raises `InvalidInput`.
    """
    if ("policy" in query) == ("path" in query):
        raise InvalidInput({"path": "Give either policy or path."})
    given = {name: value_of(name, text) for name, text in query.items() if name not in WHAT}
    market: Any = {"source": "file", "path": query.get("path")}
    columns: tuple[str, ...] = ()
    if "policy" in query:
        market, columns = market_of(query["policy"])
    try:
        return MarketConfig.model_validate(market | given), columns
    except pydantic.ValidationError as error:
        raise InvalidInput(dict(find_problems(error))) from None


def market_of(name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    policy = find_policy(name)
    if not isinstance(policy.market, MarketConfig):
        problems = format_problems(policy.market.problems)
        raise InvalidInput({"policy": f"The stored market is invalid: {problems}"})
    return policy.market.model_dump(), columns_of(policy)
