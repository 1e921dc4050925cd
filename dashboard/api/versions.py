"""The resources of policy versions: list and read."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.protocol.fields import FiniteFloat, StoredObject
from dashboard.api.protocol.views import ListView, View, policy_pk
from rl_training.files.evaluations import complete
from rl_training.models import PolicyVersion
from rl_training.models.versions import SORTABLE
from rl_training.versions.live_periods import live_periods

RESULTS = (
    "market",
    "held_out_bars",
    "held_out_return",
    "buy_and_hold_return",
    "flat_return",
    "sharpe",
    "sharpe_low",
    "sharpe_high",
    "max_drawdown",
    "turnover",
    "time_in_market",
)
COLUMNS = (
    "pk",
    "policy__name",
    "number",
    "run__run_id",
    "parent__number",
    "created_at",
    "sha256",
    "artifact",
    "weights_removed_at",
    "held_back",
    *RESULTS,
)


class LivePeriod(serializers.Serializer):  # type: ignore[type-arg]
    """A time during which a version was live."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="Null while the version is live.")


class Version(serializers.Serializer):  # type: ignore[type-arg]
    """A version of a policy, without its evaluation. Its results are on bars that it was not trained on."""

    policy = serializers.CharField(source="policy__name")
    number = serializers.IntegerField()
    run_id = serializers.CharField(source="run__run_id", help_text="The run that made the version.")
    parent = serializers.IntegerField(  # type: ignore[assignment]  # `Field.parent` is DRF's own attribute
        source="parent__number", allow_null=True, help_text="The version that the run started from; null if none."
    )
    created_at = serializers.DateTimeField()
    sha256 = serializers.CharField(help_text="Digest of the weights.")
    artifact = serializers.CharField(
        help_text="Folder in the artifact storage: `policy.safetensors`, `manifest.json`. Empty after removal."
    )
    weights_removed_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When retention removed the weights; null while they are stored.",
    )
    held_back = serializers.CharField(help_text="Why the gate holds the version back; empty if it does not.")
    market = serializers.CharField(help_text="The market's label; empty if unknown.")
    held_out_bars = serializers.IntegerField(allow_null=True, help_text="Number of decisions of the evaluation.")
    held_out_return = FiniteFloat(help_text="Total return, final / initial equity - 1.")
    buy_and_hold_return = FiniteFloat(help_text="Total return of buy and hold on the same bars.")
    flat_return = FiniteFloat(help_text="Total return of a flat account on the same bars.")
    sharpe = FiniteFloat(help_text="Annualised Sharpe ratio.")
    sharpe_low = FiniteFloat(help_text="Lower bound of the 95 % interval of the Sharpe ratio.")
    sharpe_high = FiniteFloat(help_text="Upper bound of the 95 % interval of the Sharpe ratio.")
    max_drawdown = FiniteFloat(help_text="0 to 1.")
    turnover = FiniteFloat(help_text="Sum of traded notional / equity.")
    time_in_market = FiniteFloat(help_text="Share of the bars with a position, 0 to 1.")
    live = LivePeriod(many=True, help_text="When the version was live, the earliest period first.")


class VersionDetail(Version):
    """A version of a policy with its evaluation on bars that it was not trained on."""

    evaluation = StoredObject()


class VersionList(ListView):
    queryset = PolicyVersion.objects.values(*COLUMNS)
    serializer_class = Version
    orderings = ("-number", "number", *(f"{sign}{column}" for column in SORTABLE for sign in ("-", "")))
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_policyversion"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(policy_id=policy_pk(self.kwargs["name"]))

    def filter_queryset(self, queryset: Any) -> Any:
        column = str(self.request.query_params.get("ordering", "number")).removeprefix("-")
        measured = column in SORTABLE and PolicyVersion._meta.get_field(column).null
        return super().filter_queryset(queryset.filter(**{f"{column}__isnull": False}) if measured else queryset)

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset)
        add_periods(rows or ())
        return rows

    @extend_schema(
        summary="Versions of a policy",
        description="Newest first. Ordered by a result, the list has only versions that have this result.",
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class VersionView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_policyversion"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="A version of a policy", responses=VersionDetail)
    def get(self, request: Request, name: str, number: int) -> Response:
        found = PolicyVersion.objects.filter(policy_id=policy_pk(name), number=number)
        row = found.values(*COLUMNS).first()
        if row is None:
            raise NotFound(f"Policy {name} has no version {number}.")
        row["evaluation"] = complete(found.only("artifact", "evaluation").get(pk=row["pk"]))
        add_periods([row])
        return Response(VersionDetail(row).data)


def add_periods(rows: Iterable[dict[str, Any]]) -> None:
    """Set `live` in the rows of versions."""
    rows = list(rows)
    periods = live_periods([row["pk"] for row in rows])
    for row in rows:
        row["live"] = periods.get(row["pk"], [])
