from typing import Any

import pytest

from dashboard.compiled_queries import VALUE, CompiledQuery
from rl_training.models import PolicyStore

pytestmark = pytest.mark.django_db


def query(name: str) -> Any:
    return PolicyStore.objects.filter(name=name).order_by("pk").values("name", "enabled", "next_run_at", "runs__run_id")


@pytest.mark.parametrize("name", ["rl_v3", "other", "", "%s", "'; --", VALUE])
def test_compiled_query_finds_the_rows_of_the_query(policy, name):
    assert CompiledQuery(query).rows(name) == list(query(name))


def test_sql_is_compiled_once_and_rows_are_read_each_time(policy):
    compiled_for: list[str] = []

    def recorded_query(name: str) -> Any:
        compiled_for.append(name)
        return query(name)

    compiled = CompiledQuery(recorded_query)
    assert compiled.rows("rl_v3")[0]["enabled"] is True
    PolicyStore.objects.update(enabled=False)
    assert compiled.rows("rl_v3")[0]["enabled"] is False
    assert compiled_for == [VALUE]
