"""Base classes of the API's views, and checks that several views make."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from django.http import QueryDict
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework import generics
from rest_framework.exceptions import MethodNotAllowed, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.views import APIView

from dashboard.api.protocol.pagination import PARAMETERS, CursorPages
from dashboard.api.protocol.parsers import StrictJSONParser
from dashboard.api.protocol.problem_details import InvalidInput
from dashboard.api.protocol.throttling import RateLimit
from rl_training.models import PolicyStore

# Enough names to recognise a typing error; more would make the message longer than a line.
NAMES_IN_MESSAGE = 20
MAX_NAME_LENGTH = cast(int, PolicyStore._meta.get_field("name").max_length)


class AnyMethodFirst(APIView):
    """Refuses a wrong method with 405 before it checks the credentials."""

    parser_classes = (StrictJSONParser,)
    throttle_classes = (RateLimit,)
    throttle_scope = "reads"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(str(request.method))
        super().initial(request, *args, **kwargs)


@method_decorator(never_cache, name="dispatch")
class View(AnyMethodFirst):
    """A view that requires a permission for each method and knows all its query parameters.

    `permissions_of_methods` maps each method to the permission that it requires.
    """

    permissions_of_methods: ClassVar[Mapping[str, str]]
    # The statuses of the problems that a method may answer with besides `ANY_TIME`, for the schema.
    problems_of_methods: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.check_query(request.query_params)

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if request.method == "OPTIONS":
            return
        method = "GET" if request.method == "HEAD" else str(request.method)
        permission = self.permissions_of_methods[method]
        if not request.user.has_perm(permission):
            raise PermissionDenied(
                f"This needs the permission {permission}, which the user {request.user} does not have."
            )

    def query_parameters(self) -> tuple[str, ...]:
        """Return the names of the known query parameters."""
        return ()

    def check_query(self, query: QueryDict) -> None:
        """Raise `InvalidInput` for unknown, repeated and empty parameters, which would otherwise have no effect."""
        known = self.query_parameters()
        wanted = f"No such parameter; there are {', '.join(known)}." if known else "No such parameter; there are none."
        wrong = {}
        for name, values in query.lists():
            if name not in known:
                wrong[name[:50]] = wanted
            elif len(values) > 1:
                wrong[name] = "Given more than once."
            elif not values[0]:
                wrong[name] = "Empty; leave it out instead."
        if wrong:
            raise InvalidInput(wrong)


class ListView(View, generics.ListAPIView):  # type: ignore[type-arg]
    """A list in pages.

    `orderings` are the columns by which it can be ordered, with `-` for descending order; the first is the default.
    """

    pagination_class = CursorPages
    orderings: ClassVar[tuple[str, ...]]
    filterset_class: Any = None

    def orderings_for(self, query: QueryDict) -> tuple[str, ...]:
        """Return the orderings that the filters of the query allow, the default first."""
        return self.orderings

    def query_parameters(self) -> tuple[str, ...]:
        filters = self.filterset_class.base_filters if self.filterset_class else ()
        return (*filters, *PARAMETERS)


def check_no_body(request: Request) -> None:
    """Raise `InvalidInput` if the request has a body, which would otherwise have no effect.

    Raises the parser's errors for bodies that are not JSON objects.
    """
    if request.data:
        raise InvalidInput({str(name)[:50]: "No such field; there are none." for name in request.data})


def check_policy_name(name: str) -> None:
    """Raise `NotFound` for names that no row can hold, some of which make database queries fail."""
    if "\0" in name or len(name) > MAX_NAME_LENGTH:
        raise NotFound(unknown_policy(name))


def policy_pk(name: str) -> int:
    """Return the primary key of the policy called `name`, or raise `NotFound`."""
    check_policy_name(name)
    pk = PolicyStore.objects.filter(name=name).values_list("pk", flat=True).first()
    if pk is None:
        raise NotFound(unknown_policy(name))
    return pk


def unknown_policy(name: str) -> str:
    """Return the message for a request that names an unknown policy; the message lists known policies."""
    names = list(PolicyStore.objects.values_list("name", flat=True)[: NAMES_IN_MESSAGE + 1])
    known = ", ".join(names[:NAMES_IN_MESSAGE]) + (" ..." if len(names) > NAMES_IN_MESSAGE else "")
    return f"Unknown policy {name[:50]!r}. Known policies: {known or 'none'}."
