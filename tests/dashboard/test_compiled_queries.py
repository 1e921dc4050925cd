import pytest

from dashboard.compiled_queries import VALUE, CompiledQuery
from rl_training.models import PolicyStore

pytestmark = pytest.mark.django_db


def query(name):
    return PolicyStore.objects.filter(name=name).order_by("pk").values("name", "enabled", "next_run_at", "runs__run_id")


@pytest.mark.parametrize("name", ["rl_v3", "other", "", "%s", "'; --", VALUE])
def test_it_finds_what_the_query_itself_finds(policy, name):
    assert CompiledQuery(query).rows(name) == list(query(name))


def test_its_sql_is_written_once_and_its_rows_are_read_each_time(policy):
    written = []
    compiled = CompiledQuery(lambda name: written.append(name) or query(name))
    assert compiled.rows("rl_v3")[0]["enabled"] is True
    PolicyStore.objects.update(enabled=False)
    assert compiled.rows("rl_v3")[0]["enabled"] is False
    assert written == [VALUE]
