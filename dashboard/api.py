"""The DRF API."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.exceptions import MethodNotAllowed, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dashboard.serializers import Summary, TrainingSummarySerializer
from rl_training.models import PolicyStore, TrainingRun

DEFAULT_POLICY = "rl_v3"
RECENT_RUNS = 10
# Enough to see a slip of the pen by; the message stays a line.
NAMES_IN_MESSAGE = 20


@method_decorator(never_cache, name="dispatch")
class TrainingSummaryView(APIView):
    """How a policy's training goes: its schedule, its record, its last finished runs."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # A wrong method is wrong for everyone, with credentials or without.
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(str(request.method))
        super().initial(request, *args, **kwargs)

    def get(self, request: Request) -> Response:
        policy = find_policy(request.query_params.get("policy", DEFAULT_POLICY))
        runs = list(TrainingRun.objects.recent(policy)[:RECENT_RUNS])
        # A run that finished between the two queries is in the counts that came with the runs.
        summary = Summary(runs[0].policy if runs else policy, runs)
        return Response(TrainingSummarySerializer(summary).data)


def find_policy(name: str) -> PolicyStore:
    """The policy of that name, with the columns of a summary. Raises `NotFound` naming the known ones."""
    try:
        # Refuses what no database column can hold before a database is asked for it.
        PolicyStore._meta.get_field("name").run_validators(name)
        return PolicyStore.objects.for_summary().get(name=name)
    except (ValidationError, PolicyStore.DoesNotExist):
        names = list(PolicyStore.objects.values_list("name", flat=True)[: NAMES_IN_MESSAGE + 1])
        known = ", ".join(names[:NAMES_IN_MESSAGE]) + (" ..." if len(names) > NAMES_IN_MESSAGE else "")
        raise NotFound(f"Unknown policy {name[:50]!r}. Known policies: {known or 'none'}.") from None
