"""The resources of policy versions: list and read."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.protocol.fields import StoredObject
from dashboard.api.protocol.views import ListView, View, policy_pk
from rl_training.models import PolicyVersion

COLUMNS = ("pk", "policy__name", "number", "run__run_id", "parent__number", "created_at", "sha256", "artifact")


class Version(serializers.Serializer):  # type: ignore[type-arg]
    """A version of a policy, without its evaluation."""

    policy = serializers.CharField(source="policy__name")
    number = serializers.IntegerField()
    run_id = serializers.CharField(source="run__run_id", help_text="The run that made it.")
    parent = serializers.IntegerField(  # type: ignore[assignment]  # `Field.parent` is DRF's own attribute
        source="parent__number", allow_null=True, help_text="The version that its run started from; null: none."
    )
    created_at = serializers.DateTimeField()
    sha256 = serializers.CharField(help_text="Digest of the weights.")
    artifact = serializers.CharField(help_text="Folder in the artifact storage: `policy.safetensors`, `manifest.json`.")


class VersionDetail(Version):
    """A version of a policy with its evaluation on bars that it was not trained on."""

    evaluation = StoredObject()


class VersionList(ListView):
    queryset = PolicyVersion.objects.values(*COLUMNS)
    serializer_class = Version
    orderings = ("-number", "number")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_policyversion"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(policy_id=policy_pk(self.kwargs["name"]))

    @extend_schema(summary="Versions of a policy")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class VersionView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_policyversion"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="A version of a policy", responses=VersionDetail)
    def get(self, request: Request, name: str, number: int) -> Response:
        found = PolicyVersion.objects.filter(policy_id=policy_pk(name), number=number)
        row = found.values(*COLUMNS, "evaluation").first()
        if row is None:
            raise NotFound(f"Policy {name} has no version {number}.")
        return Response(VersionDetail(row).data)
