"""The resources of validations, of the standing of a policy's recipe, and of the ledger of trials."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pydantic
import structlog
from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.evidence.cancelling import CancelView
from dashboard.api.evidence.validation_fields import COLUMNS, Standing, Trial, Validation, ValidationDetail
from dashboard.api.filters import TrialFilters, ValidationFilters
from dashboard.api.protocol.problem_details import AlreadyValidating, InvalidInput, ValidationHasEnded
from dashboard.api.protocol.views import ListView, View, policy_pk
from rl_training.core.base_config import Config
from rl_training.core.config_problems import find_problems
from rl_training.core.run.walk_forward.folds import FOLDS
from rl_training.models import InvalidConfigError, PolicyStore
from rl_training.models import Trial as TrialRow
from rl_training.models import Validation as ValidationRow
from rl_training.settings_change import SettingsRefusedError
from rl_training.validation import gate, reports, requesting, steps, trials

log = structlog.get_logger(__name__)


class ValidationRequest(Config):
    """The recipe to walk forward. Settings in `changes` replace those of the policy and so make another recipe."""

    policy: str = pydantic.Field(min_length=1, max_length=50, description="The policy's name.")
    folds: int = pydantic.Field(default=FOLDS, ge=1, le=requesting.MOST_FOLDS)
    window: int | None = pydantic.Field(default=None, ge=1, le=2**31 - 1, description="Bars that a fold trains on.")
    seed: int | None = pydantic.Field(default=None, ge=0, le=requesting.LAST_SEED, description="Random by default.")
    changes: dict[str, Any] = pydantic.Field(
        default={},
        description="Settings by path, such as ppo.gamma and seeds.",
        json_schema_extra={"additionalProperties": {}},
    )


LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[201], description="The validation.")


class ValidationList(ListView):
    queryset = ValidationRow.objects.values("pk", *COLUMNS)
    serializer_class = Validation
    filterset_class = ValidationFilters
    orderings = ("-requested_at", "requested_at")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_validation", "POST": "rl_training.add_validation"}
    problems_of_methods: ClassVar = {"POST": (409, 413, 415)}

    @extend_schema(summary="Validations", description="Newest first.")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Walk a recipe forward",
        description="Queues a walk-forward of the policy's recipe. It is a trial unless the recipe is validated, and "
        "each trial on a market leaves less of PROMOTION_ALPHA for the next trial. 409 with the `validation_id` while "
        "a validation of the recipe is under way.",
        parameters=[LOCATION],
        request=ValidationRequest,
        responses={201: ValidationDetail},
        filters=False,
    )
    def post(self, request: Request) -> Response:
        try:
            body = ValidationRequest.model_validate(request.data)
        except pydantic.ValidationError as error:
            raise InvalidInput(dict(find_problems(error))) from None
        validation = _request(body, request.user)
        log.info("Validation requested by the API", validation_id=validation.validation_id, user=str(request.user))
        url = request.build_absolute_uri(reverse("api:validation", args=[validation.validation_id]))
        return Response(validation_data(validation.validation_id), 201, headers={"Location": url})


def _request(body: ValidationRequest, user: Any) -> ValidationRow:
    try:
        policy = PolicyStore.objects.get(pk=policy_pk(body.policy))
    except NotFound as error:
        raise InvalidInput({"policy": str(error.detail)}) from None
    try:
        changes = requesting.changes_of(body.changes)
        options = requesting.Options(body.folds, body.window, body.seed, changes)
        return requesting.request(policy, options, user=user)
    except InvalidConfigError as error:
        raise InvalidInput({"policy": f"The stored settings are invalid: {error}"}) from None
    except SettingsRefusedError as error:
        raise InvalidInput({f"changes.{name}": message for name, message in error.errors.items()}) from None
    except requesting.OptionsError as error:
        raise InvalidInput({error.field: str(error)}) from None
    except requesting.AlreadyValidatingError as error:
        raise AlreadyValidating(str(error), validation_id=error.validation.validation_id) from None


class ValidationView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_validation"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="A validation", responses=ValidationDetail)
    def get(self, request: Request, validation_id: str) -> Response:
        return Response(validation_data(validation_id))


class ValidationCancel(CancelView):
    permissions_of_methods: ClassVar = {"POST": "rl_training.change_validation"}
    title, has_ended = "Validation", ValidationHasEnded

    @extend_schema(
        summary="Cancel a validation",
        description="A cancelled trial still counts. Repeating the request changes nothing. 409 if it has succeeded "
        "or failed.",
        request=None,
        responses=ValidationDetail,
    )
    def post(self, request: Request, validation_id: str) -> Response:
        return self.end(request, validation_id)

    def find(self, identifier: str) -> ValidationRow:
        return find(identifier)

    def cancel(self, found: ValidationRow, user: Any) -> bool:
        return steps.cancel(found)

    def describe(self, identifier: str) -> Any:
        return validation_data(identifier)


class StandingView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_validation"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="The standing of a policy's recipe", responses=Standing)
    def get(self, request: Request, name: str) -> Response:
        policy = PolicyStore.objects.get(pk=policy_pk(name))
        return Response(Standing(standing(policy)).data)


class TrialList(ListView):
    queryset = TrialRow.objects.values(
        *("pk", "market__label", "market__key", "number", "kind", "recipe", "policy_name", "alpha", "level", "at"),
        *("validation__validation_id", "validation__status", "validation__verdict"),
    )
    serializer_class = Trial
    filterset_class = TrialFilters
    orderings = ("-at", "at")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_trial"}

    @extend_schema(summary="The ledger of trials", description="Newest first. A trial counts whatever its outcome.")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


def standing(policy: PolicyStore) -> Mapping[str, Any]:
    """Return the fields of `Standing` for the policy's recipe."""
    found, recipe = gate.standing_of(policy), gate.recipe_of(policy)
    config = requesting.recipe_of(policy).config if recipe else None
    budget = reports.budget(trials.ledger_key(config.market), settings.PROMOTION_ALPHA) if config else None
    return {
        "policy": policy.name,
        "recipe": recipe,
        "state": found.state,
        "validation_id": found.validation.validation_id if found.validation else None,
        "answer": reports.answer(found.validation) if found.validation else "",
        "active": found.active.validation_id if found.active else None,
        "expired": found.expired.validation_id if found.expired else None,
        "estimated_seconds": reports.estimated_seconds(policy) if recipe else None,
        "budget": budget,
    }


def find(validation_id: str) -> ValidationRow:
    """Return the validation, or raise `NotFound`, also for ids with NUL, on which PostgreSQL fails."""
    related = ValidationRow.objects.select_related("policy", "trial", "monitored", "requested_by")
    found = None if "\0" in validation_id else related.filter(validation_id=validation_id).first()
    if found is None:
        raise NotFound(f"There is no validation {validation_id[:50]!r}.")
    return found


def validation_data(validation_id: str) -> Any:
    """Return the serialized validation with its folds and its result. Raises `NotFound`."""
    found = find(validation_id)
    row = {name: getattr(found, name) for name in COLUMNS if "__" not in name}
    row |= {"policy__name": found.policy.name, "monitored__validation_id": None, "requested_by__username": None}
    row |= {"trial__number": None, "trial__level": None}
    if found.trial:
        row |= {"trial__number": found.trial.number, "trial__level": found.trial.level}
    if found.monitored:
        row["monitored__validation_id"] = found.monitored.validation_id
    if found.requested_by:
        row["requested_by__username"] = found.requested_by.get_username()
    described = reports.describe(found, list(found.steps.order_by("kind", "number")))
    kept = ("answer", "in_force", "must_beat", "judgement", "config", "start_from", "result")
    return ValidationDetail(row | {name: described[name] for name in kept} | {"trained": described["folds"]}).data
