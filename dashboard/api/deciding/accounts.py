"""The paper accounts of a policy, and the challengers that users open and end."""

from typing import Any, ClassVar

import pydantic
import structlog
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.deciding.serializers import Account, Accounts
from dashboard.api.deploying.changing import find_policy, read
from dashboard.api.protocol.problem_details import ArmRefused, InvalidInput
from dashboard.api.protocol.views import View, check_no_body
from quantum_trader.text import LAST_NUMBER
from rl_training.core.base_config import Config
from rl_training.decisions import challengers
from rl_training.decisions.accounts import accounts_of
from rl_training.decisions.challengers import ArmRefusedError, UnknownArmError
from rl_training.models import Arm, PolicyStore

log = structlog.get_logger(__name__)
MAX_NAME = 80


class WantedArm(Config):
    """An arm to open."""

    arm: str = pydantic.Field(min_length=1, max_length=MAX_NAME, description=f"One of {challengers.FORMS}.")


class AccountList(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_arm", "POST": "rl_training.add_arm"}
    problems_of_methods: ClassVar = {"GET": (404,), "POST": (404, 409, 413, 415)}

    @extend_schema(
        summary="Paper accounts of a policy",
        description="Open accounts first. An account ends when the policy's market or trading costs change.",
        responses=Accounts,
    )
    def get(self, request: Request, name: str) -> Response:
        found = accounts_of(find_policy(name))
        return Response(Accounts({"results": [account.as_dict() for account in found]}).data)

    @extend_schema(
        summary="Open a challenger",
        description="A challenger decides on each new bar beside the live version, on paper alone. If it is open "
        "already, the answer is 200 with its account. 409 if the market cannot grow, if the version or recipe is of "
        f"another market or has no weights, or if the policy has {challengers.MOST} challengers.",
        request=WantedArm,
        responses={200: Account, 201: Account},
    )
    def post(self, request: Request, name: str) -> Response:
        policy, body = find_policy(name), read(WantedArm, request)
        try:
            arm, opened = challengers.open_arm(policy, body.arm, by=request.user.get_username(), now=timezone.now())
        except UnknownArmError as error:
            raise InvalidInput({"arm": str(error)}) from None
        except ArmRefusedError as error:
            raise ArmRefused(str(error)) from None
        return Response(account_data(policy, arm.pk), 201 if opened else 200)


class AccountEnd(View):
    permissions_of_methods: ClassVar = {"POST": "rl_training.change_arm"}
    problems_of_methods: ClassVar = {"POST": (404, 409, 413, 415)}

    @extend_schema(
        summary="End a challenger",
        description="The decisions and the account of the challenger are kept. 409 for an arm that every policy has, "
        "and for an arm that has ended.",
        request=None,
        responses=Account,
    )
    def post(self, request: Request, name: str, account: int) -> Response:
        check_no_body(request)
        policy = find_policy(name)
        arms = Arm.objects.filter(policy=policy).shown()
        arm = arms.filter(pk=account).first() if account <= LAST_NUMBER else None
        if arm is None:
            raise NotFound(f"This policy has no account {account}.")
        try:
            challengers.end_arm(arm, by=request.user.get_username(), now=timezone.now())
        except ArmRefusedError as error:
            raise ArmRefused(str(error)) from None
        return Response(account_data(policy, arm.pk))


def account_data(policy: PolicyStore, arm: int) -> Any:
    found = next(account for account in accounts_of(policy) if account.arm.pk == arm)
    return Account(found.as_dict()).data
