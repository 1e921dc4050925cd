"""The resources of decisions: the decision in force, the decisions of an account, a decision for a caller's account."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.deciding.serializers import AskedDecision, CurrentDecision, Decision
from dashboard.api.deploying.changing import find_policy, read
from dashboard.api.protocol.problem_details import InvalidInput, NoDecision, WeightsUnreadable
from dashboard.api.protocol.views import ListView, View, policy_pk
from quantum_trader.text import parse_whole_number
from rl_training.decisions.answers import NoDecisionError, current
from rl_training.decisions.asked_account import AskedAccount
from rl_training.decisions.payloads import payload
from rl_training.models import Arm
from rl_training.models import Decision as DecisionRow

VIEW = "rl_training.view_decision"
COLUMNS = (
    *("pk", "decision_id", "policy__name", "arm__kind", "version__number", "weights_sha256", "trained_until"),
    *("deployment", "bar_opened_at", "bar_closed_at", "decided_at", "valid_until", "target_position"),
    *("previous_target", "probabilities", "value", "equity", "observation_sha256", "bars_digest", "note"),
)
RENAMED = {"policy__name": "policy", "arm__kind": "arm", "version__number": "version"}
REFUSALS = (
    "409 without such a decision, with one of these types: `no-live-version`, `live-version-changed` (the newest "
    "decision is of another version), `stale-bars` (older than MAX_BAR_AGE), `bars-revised` and `market-not-live`."
)


class CurrentDecisionView(View):
    permissions_of_methods: ClassVar = {"GET": VIEW}
    problems_of_methods: ClassVar = {"GET": (404, 409)}

    @extend_schema(
        summary="The decision in force",
        description=f"What the live version decided on the newest bar, for its paper account. {REFUSALS}",
        responses=CurrentDecision,
    )
    def get(self, request: Request, name: str) -> Response:
        try:
            answer = current(find_policy(name), timezone.now)
        except NoDecisionError as error:
            raise NoDecision(error) from None
        content = payload(answer.decision) | {"bar_age_seconds": answer.age.total_seconds()}
        return Response(CurrentDecision(content).data)


class DecideView(View):
    permissions_of_methods: ClassVar = {"POST": VIEW}
    problems_of_methods: ClassVar = {"POST": (404, 409, 413, 415)}

    @extend_schema(
        summary="Decide for an account",
        description="What the live version decides on the newest decided bar for the given account. Nothing is stored. "
        f"{REFUSALS} `live-version-changed` does not occur here: the live version decides.",
        request=AskedAccount,
        responses=AskedDecision,
    )
    def post(self, request: Request, name: str) -> Response:
        # These modules load numba and scipy, which web needs for this request alone.
        from rl_training.decisions.asking import decide_for
        from rl_training.decisions.networks import NetworkError

        policy, account = find_policy(name), read(AskedAccount, request)
        try:
            return Response(AskedDecision(decide_for(policy, account, timezone.now)).data)
        except NoDecisionError as error:
            raise NoDecision(error) from None
        except NetworkError as error:
            raise WeightsUnreadable(f"The live version cannot decide: {error}.") from None


class DecisionList(ListView):
    queryset = DecisionRow.objects.all()
    serializer_class = Decision
    orderings = ("-bar_opened_at", "bar_opened_at")
    permissions_of_methods: ClassVar = {"GET": VIEW}
    problems_of_methods: ClassVar = {"GET": (404,)}

    def query_parameters(self) -> tuple[str, ...]:
        return ("account", *super().query_parameters())

    def get_queryset(self) -> QuerySet[Any]:
        policy = policy_pk(self.kwargs["name"])
        account = find_account(policy, self.request.query_params)
        found: QuerySet[Any] = DecisionRow.objects.filter(policy=policy, arm=account).values(*COLUMNS)
        return found

    @extend_schema(
        summary="Decisions of a policy",
        description="The decisions of one account, newest first; `accounts/` lists the accounts.",
        parameters=[
            OpenApiParameter(
                "account", int, description="The number of an account; by default the open account of the live version."
            )
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset) or []
        return [{RENAMED.get(key, key): row[key] for key in row} for row in rows]


def find_account(policy: int, query: QueryDict) -> int:
    """Return the id of the account that the query names, by default of the live version's newest account.

    Without any account the id is 0, which no account has.

    Raises `InvalidInput` and `NotFound`.
    """
    text = query.get("account")
    arms = Arm.objects.filter(policy=policy)
    if text is None:
        open_arm = arms.filter(kind=Arm.Kind.LIVE).order_by("ended_at", "-pk").values_list("pk", "ended_at")
        return next((pk for pk, ended in open_arm if ended is None), max((pk for pk, _ in open_arm), default=0))
    account = parse_whole_number(text)
    if account is None:
        raise InvalidInput({"account": "Must be the number of an account; accounts/ lists the accounts."})
    if not arms.filter(pk=account).exists():
        raise NotFound(f"This policy has no account {text}.")
    return account
