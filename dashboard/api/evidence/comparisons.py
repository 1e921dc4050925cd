"""The comparison resources: list, read, request and cancel."""

from typing import Any, ClassVar

import pydantic
import structlog
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.evidence.cancelling import CancelView
from dashboard.api.protocol.fields import StoredObject
from dashboard.api.protocol.problem_details import ComparisonHasEnded, InvalidInput
from dashboard.api.protocol.views import ListView, View
from rl_training.core.base_config import Config
from rl_training.core.config_problems import find_problems
from rl_training.models import ComparedVersion
from rl_training.models import Comparison as ComparisonRow
from rl_training.runs import work_lifecycle
from rl_training.runs.triggering import LAST_VERSION
from rl_training.versions import comparisons
from rl_training.versions.comparison_reports import answer, pairs_of
from rl_training.versions.comparisons import FEWEST_VERSIONS, MOST_VERSIONS, CannotCompareError
from rl_training.versions.naming import UnknownVersionError, find_versions

log = structlog.get_logger(__name__)

COLUMNS = (
    "pk",
    "comparison_id",
    "market",
    "status",
    "requested_by__username",
    "requested_at",
    "started_at",
    "finished_at",
    "bars",
    "bars_first",
    "bars_last",
    "bars_digest",
    "error",
)


class NamedVersion(serializers.Serializer):  # type: ignore[type-arg]
    """A policy version."""

    policy = serializers.CharField(help_text="The policy's name.")
    number = serializers.IntegerField()


class Comparison(serializers.Serializer):  # type: ignore[type-arg]
    """A comparison of policy versions, without its result."""

    comparison_id = serializers.CharField(help_text="12 hexadecimal digits.")
    versions = NamedVersion(many=True, help_text="In the order of the request.")
    market = serializers.CharField(help_text="The market's label.")
    status = serializers.ChoiceField(choices=ComparisonRow.Status.values)
    requested_by = serializers.CharField(
        source="requested_by__username",
        allow_null=True,
        help_text="The user who requested the comparison; null for the command and for a deleted user.",
    )
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    bars = serializers.IntegerField(allow_null=True, help_text="Number of compared decisions.")
    bars_first = serializers.DateTimeField(allow_null=True, help_text="The bar of the first decision.")
    bars_last = serializers.DateTimeField(allow_null=True)
    bars_digest = serializers.CharField(help_text="SHA-256 of these bars; empty without a result.")
    error = serializers.CharField(help_text="Empty unless the comparison failed.")


class Pair(serializers.Serializer):  # type: ignore[type-arg]
    """Two accounts that traded the same bars. Numbers are differences of log-equity changes in bp per bar."""

    better = serializers.CharField(help_text="The account that earned more.")
    worse = serializers.CharField()
    mean = serializers.FloatField()
    low = serializers.FloatField(help_text="Lower bound of the 95 % interval.")
    high = serializers.FloatField(help_text="Upper bound of the 95 % interval.")
    distinguishable = serializers.BooleanField(help_text="Whether the interval excludes 0.")
    of_versions = serializers.BooleanField(help_text="False if one account is a reference.")


class ComparisonDetail(Comparison):
    """A comparison with its result."""

    answer = serializers.CharField(help_text="The result in a sentence.")
    differences = Pair(many=True)
    result = StoredObject(allow_null=True, help_text="Metrics and equity curve of each account.")


class VersionName(Config):
    """A policy version."""

    policy: str = pydantic.Field(min_length=1, max_length=50, description="The policy's name.")
    number: int = pydantic.Field(ge=1, le=LAST_VERSION)


class ComparisonRequest(Config):
    """The versions to compare. All accounts trade at the costs of the first version."""

    versions: list[VersionName] = pydantic.Field(min_length=FEWEST_VERSIONS, max_length=MOST_VERSIONS)


LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[201], description="The comparison.")


class ComparisonList(ListView):
    queryset = ComparisonRow.objects.values(*COLUMNS)
    serializer_class = Comparison
    orderings = ("-requested_at", "requested_at")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_comparison", "POST": "rl_training.add_comparison"}
    problems_of_methods: ClassVar = {"POST": (413, 415)}

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset)
        add_versions(rows or [])
        return rows

    @extend_schema(summary="Comparisons", description="Newest first.")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Compare versions",
        description="Queues a comparison on bars that come after the training of every version. While an active "
        "comparison of the same versions in the same order exists, the answer is that comparison.",
        parameters=[LOCATION],
        request=ComparisonRequest,
        responses={201: ComparisonDetail},
        filters=False,
    )
    def post(self, request: Request) -> Response:
        try:
            body = ComparisonRequest.model_validate(request.data)
            versions = find_versions([(version.policy, version.number) for version in body.versions])
            comparison = comparisons.request(versions, user=request.user)
        except pydantic.ValidationError as error:
            raise InvalidInput(dict(find_problems(error))) from None
        except (UnknownVersionError, CannotCompareError) as error:
            raise InvalidInput({"versions": str(error)}) from None
        log.info("Comparison requested by the API", comparison_id=comparison.comparison_id, user=str(request.user))
        url = request.build_absolute_uri(reverse("api:comparison", args=[comparison.comparison_id]))
        return Response(comparison_data(comparison.comparison_id), 201, headers={"Location": url})


class ComparisonView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_comparison"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="A comparison", responses=ComparisonDetail)
    def get(self, request: Request, comparison_id: str) -> Response:
        return Response(comparison_data(comparison_id))


class ComparisonCancel(CancelView):
    permissions_of_methods: ClassVar = {"POST": "rl_training.change_comparison"}
    title, has_ended = "Comparison", ComparisonHasEnded

    @extend_schema(
        summary="Cancel a comparison",
        description="Repeating the request changes nothing. 409 if the comparison has succeeded or failed.",
        request=None,
        responses=ComparisonDetail,
    )
    def post(self, request: Request, comparison_id: str) -> Response:
        return self.end(request, comparison_id)

    def find(self, identifier: str) -> ComparisonRow:
        return find(identifier)

    def cancel(self, found: ComparisonRow, user: Any) -> bool:
        return work_lifecycle.cancel(found)

    def describe(self, identifier: str) -> Any:
        return comparison_data(identifier)


def add_versions(rows: list[dict[str, Any]]) -> None:
    """Set `versions` in the rows of comparisons."""
    by_id: dict[int, list[dict[str, Any]]] = {row["pk"]: [] for row in rows}
    compared = ComparedVersion.objects.filter(comparison__in=by_id).order_by("place")
    for pk, policy, number in compared.values_list("comparison_id", "version__policy__name", "version__number"):
        by_id[pk].append({"policy": policy, "number": number})
    for row in rows:
        row["versions"] = by_id[row["pk"]]


def find(comparison_id: str) -> ComparisonRow:
    """Return the comparison, or raise `NotFound`, also for ids with NUL, on which PostgreSQL fails."""
    found = None if "\0" in comparison_id else comparisons.find(comparison_id)
    if found is None:
        raise NotFound(f"There is no comparison {comparison_id[:50]!r}.")
    return found


def comparison_data(comparison_id: str) -> Any:
    """Return the serialized comparison with its result. Raises `NotFound`."""
    found = find(comparison_id)
    row = {name: getattr(found, name) for name in COLUMNS if "__" not in name}
    row["requested_by__username"] = found.requested_by.get_username() if found.requested_by else None
    add_versions([row])
    extra = {"answer": answer(found), "differences": pairs_of(found.result), "result": found.result}
    return ComparisonDetail(row | extra).data
