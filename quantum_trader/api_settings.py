"""Settings of the REST API and of its description in OpenAPI."""

from typing import Any

from quantum_trader.environment import values

SPECTACULAR = {
    "TITLE": "Quantum trader",
    "DESCRIPTION": "Policies that are kept trained: their settings, runs, versions and events.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # Sets of values that serializers share; any other set is named after its serializer and field.
    "ENUM_NAME_OVERRIDES": {
        "StatusEnum": ["queued", "running", "succeeded", "failed", "cancelled"],
        "AlertKindEnum": "rl_training.alerts.kinds.Kind.values",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Deep links put a link into each operation's button, which keyboards and screen readers cannot distinguish.
    "SWAGGER_UI_SETTINGS": {"deepLinking": False},
}


def rest_framework() -> dict[str, Any]:
    """Return the settings of Django REST framework. Raises `ImproperlyConfigured` for an invalid rate."""
    return {
        # The first class decides the status of a request without credentials: with tokens 401, with sessions 403.
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "dashboard.authentication.TokenAuthentication",
            "rest_framework.authentication.SessionAuthentication",
        ],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
        "DEFAULT_SCHEMA_CLASS": "dashboard.api.protocol.openapi.Schema",
        "EXCEPTION_HANDLER": "dashboard.api.protocol.problem_details.handle",
        # Requests per minute of one user in one process. Monitors read the summary often, so its rate is high.
        "DEFAULT_THROTTLE_RATES": {
            "reads": values.whole_number("API_READS_PER_MINUTE", 1_200, 1, 1_000_000_000),
            "writes": values.whole_number("API_WRITES_PER_MINUTE", 300, 1, 1_000_000_000),
            "summary": values.whole_number("API_SUMMARIES_PER_MINUTE", 60_000, 1, 1_000_000_000),
        },
        # `?format=` is an unknown parameter like any other.
        "URL_FORMAT_OVERRIDE": None,
    }
