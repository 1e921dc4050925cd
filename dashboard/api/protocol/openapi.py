"""The parts of the OpenAPI schema that the views themselves do not declare."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from dashboard.api.protocol.problem_details import CONTENT_TYPE

# The statuses of the problems that every operation may answer with.
ANY_TIME = (400, 401, 403, 406, 429)


class FieldError(serializers.Serializer):  # type: ignore[type-arg]
    field = serializers.CharField()
    detail = serializers.CharField()


class Problem(serializers.Serializer):  # type: ignore[type-arg]
    """Problem details, RFC 9457."""

    type = serializers.CharField(help_text="about:blank if the status describes the problem completely.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField(help_text="The path of the request.")
    # mypy reports an error because DRF itself has the property `Serializer.errors`.
    errors = FieldError(  # type: ignore[assignment]
        many=True, required=False, help_text="The refused fields of the input, each with a message."
    )
    run_id = serializers.CharField(required=False, help_text="The run that causes the conflict.")
    proposal = serializers.IntegerField(required=False, help_text="The proposal that causes the conflict.")


class Schema(AutoSchema):
    """Adds to each operation the problems that it may answer with and the permission that it needs."""

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args)
        if operation is None:
            return None
        permission = getattr(self.view, "permissions_of_methods", {}).get(self.method)
        needs = f"Needs the permission `{permission}`." if permission else "Needs a signed-in user."
        operation["description"] = f"{operation.get('description', '')}\n\n{needs}".strip()
        problem = {CONTENT_TYPE: {"schema": self.resolve_serializer(Problem, "response").ref}}
        for status in sorted({*ANY_TIME, *getattr(self.view, "problems_of_methods", {}).get(self.method, ())}):
            found = {"description": HTTPStatus(status).phrase, "content": problem}
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                found["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
            operation["responses"].setdefault(str(status), found)
        return operation

    def get_description(self) -> str:  # type: ignore[override]  # DRF's own inspectors take a path and a method
        # `extend_schema` describes an operation for users of the API. Docstrings describe views for developers.
        return ""
