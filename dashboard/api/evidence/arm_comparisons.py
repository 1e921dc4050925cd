"""Comparisons of arms on new bars: list, begin, read and end."""

from typing import Any, ClassVar

import pydantic
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.deciding.accounts import MAX_NAME
from dashboard.api.deploying.changing import find_policy, read
from dashboard.api.evidence.cancelling import CancelView
from dashboard.api.protocol.problem_details import ArmRefused, ComparisonHasEnded, InvalidInput
from dashboard.api.protocol.views import ListView, View
from rl_training.core.base_config import Config
from rl_training.core.evaluation.betting import LARGEST_LOSS
from rl_training.decisions import challengers
from rl_training.decisions.challengers import ArmRefusedError, UnknownArmError
from rl_training.decisions.comparing import reports, requesting
from rl_training.decisions.comparing.requesting import BettingError, Wanted
from rl_training.decisions.comparing.verdicts import payload
from rl_training.models import ArmComparison as ArmComparisonRow

VIEW = "rl_training.view_armcomparison"


class ArmComparison(serializers.Serializer):  # type: ignore[type-arg]
    """A comparison of the arm B with the arm A of a policy, on bars that came after the request."""

    comparison_id = serializers.CharField(help_text="12 hexadecimal digits.")
    policy = serializers.CharField()
    a = serializers.CharField(help_text="The name of an arm; see `accounts/`.")
    b = serializers.CharField()
    status = serializers.CharField(
        help_text="`running`; `better`: B is better than A; `lost`: B lost more than `largest_loss` in a bar; `ended`: "
        "without a verdict."
    )
    trial = serializers.IntegerField(help_text="The trial's number in the market's ledger.")
    level = serializers.FloatField(help_text="The part of PROMOTION_ALPHA that the trial may spend.")
    evidence = serializers.FloatField(help_text="The evidence K: 1 at the beginning, 0 after B has lost.")
    threshold = serializers.FloatField(help_text="The K at which B counts as better, 1 / `level`.")
    bars = serializers.IntegerField(help_text="Number of compared bars.")
    capped = serializers.IntegerField(help_text="Number of bars whose gain exceeded `largest_loss` and was cut to it.")
    largest_loss = serializers.FloatField(help_text="The bound on the loss of B against A in one bar, in log equity.")
    floor = serializers.FloatField(help_text="What B must gain on A in each bar, in log equity.")
    requested_at = serializers.DateTimeField()
    last_bar_at = serializers.DateTimeField(allow_null=True, help_text="The last compared bar.")
    ended_at = serializers.DateTimeField(allow_null=True)
    ending = serializers.CharField(help_text="Why the comparison ended.")
    outcome = serializers.CharField(help_text="What followed from the verdict.")


class ArmComparisonDetail(ArmComparison):
    """A comparison with its estimate."""

    answer = serializers.CharField(help_text="The result so far in sentences.")
    mean_difference = serializers.FloatField(allow_null=True, help_text="B's mean gain on A per bar, in log equity.")
    expected_bars = serializers.IntegerField(
        allow_null=True,
        help_text="Expected bars until a verdict; null if B does not gain or the comparison has ended.",
    )


class WantedComparison(Config):
    """The arms to compare, and the numbers that are fixed beforehand."""

    policy: str = pydantic.Field(min_length=1, max_length=50)
    a: str = pydantic.Field(default="live", min_length=1, max_length=MAX_NAME, description="The name of an arm.")
    b: str = pydantic.Field(min_length=1, max_length=MAX_NAME, description=f"One of {challengers.FORMS}.")
    largest_loss: float = pydantic.Field(default=LARGEST_LOSS, ge=requesting.SMALLEST_LOSS, le=1)
    floor: float = pydantic.Field(default=0.0, ge=-requesting.LARGEST_FLOOR, le=requesting.LARGEST_FLOOR)


LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[201], description="The comparison.")


class ArmComparisonList(ListView):
    queryset = ArmComparisonRow.objects.all()
    serializer_class = ArmComparison
    orderings = ("-requested_at", "requested_at")
    permissions_of_methods: ClassVar = {"GET": VIEW, "POST": "rl_training.add_armcomparison"}
    problems_of_methods: ClassVar = {"POST": (404, 409, 413, 415)}

    def get_queryset(self) -> QuerySet[Any]:
        return ArmComparisonRow.objects.shown()

    def paginate_queryset(self, queryset: Any) -> Any:
        return [payload(comparison) for comparison in super().paginate_queryset(queryset) or []]

    @extend_schema(summary="Comparisons on new bars", description="Newest first.")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Compare two arms on new bars",
        description="Opens each of the two arms that is not open. Each comparison is a trial of the market's "
        "ledger, whatever its outcome. 409 if these arms are compared already, or if an arm cannot be opened.",
        parameters=[LOCATION],
        request=WantedComparison,
        responses={201: ArmComparisonDetail},
        filters=False,
    )
    def post(self, request: Request) -> Response:
        body = read(WantedComparison, request)
        policy, user = find_policy(body.policy), request.user
        wanted = Wanted(body.a, body.b, body.largest_loss, body.floor)
        try:
            made = requesting.begin(policy, wanted, by=user.get_username(), now=timezone.now(), user=user)
        except UnknownArmError as error:
            raise InvalidInput({"b": str(error)}) from None
        except BettingError as error:
            raise InvalidInput({error.field: error.message}) from None
        except ArmRefusedError as error:
            raise ArmRefused(str(error)) from None
        url = request.build_absolute_uri(reverse("api:arm-comparison", args=[made.comparison_id]))
        return Response(comparison_data(made.comparison_id), 201, headers={"Location": url})


class ArmComparisonView(View):
    permissions_of_methods: ClassVar = {"GET": VIEW}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="A comparison on new bars", responses=ArmComparisonDetail)
    def get(self, request: Request, comparison_id: str) -> Response:
        return Response(comparison_data(comparison_id))


class ArmComparisonEnd(CancelView):
    permissions_of_methods: ClassVar = {"POST": "rl_training.change_armcomparison"}
    title, has_ended, may_repeat = "Comparison", ComparisonHasEnded, False

    @extend_schema(
        summary="End a comparison on new bars",
        description="The comparison ends without a verdict, and its trial still counts. 409 if it has ended already.",
        request=None,
        responses=ArmComparisonDetail,
    )
    def post(self, request: Request, comparison_id: str) -> Response:
        return self.end(request, comparison_id)

    def find(self, identifier: str) -> ArmComparisonRow:
        return find(identifier)

    def cancel(self, found: ArmComparisonRow, user: Any) -> bool:
        return requesting.cancel(found, by=user.get_username(), now=timezone.now())

    def describe(self, identifier: str) -> Any:
        return comparison_data(identifier)


def find(comparison_id: str) -> ArmComparisonRow:
    """Return the comparison, or raise `NotFound`, also for ids with NUL, on which PostgreSQL fails."""
    known = ArmComparisonRow.objects.shown()
    found = None if "\0" in comparison_id else known.filter(comparison_id=comparison_id).first()
    if found is None:
        raise NotFound(f"There is no comparison {comparison_id[:50]!r} on new bars.")
    return found


def comparison_data(comparison_id: str) -> Any:
    """Return the serialized comparison. Raises `NotFound`."""
    return ArmComparisonDetail(reports.as_dict(find(comparison_id))).data
