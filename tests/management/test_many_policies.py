"""Commands read as many rows, with as many queries, for a thousand policies as for one."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rl_training.models import PolicyStore
from tests.management.test_commands import output_of
from tests.stored import finished_run, version_to_continue

pytestmark = pytest.mark.django_db


def queries_of(*command: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        output_of(*command)
    return [query["sql"] for query in captured]


def add_policies(number: int) -> list[PolicyStore]:
    return [PolicyStore.objects.create(name=f"other_{one}", start_from="newest") for one in range(number)]


def test_status_of_more_policies_takes_no_more_queries(policy):
    finished_run(policy)
    before = len(queries_of("training_status"))
    for other in add_policies(3):
        finished_run(other)
        finished_run(other, status="cancelled")
    assert len(queries_of("training_status")) == before
    assert [line.split()[2] for line in output_of("training_status").splitlines() if "  run " in line] == [
        *["cancelled"] * 3,
        "succeeded",
    ]


def test_change_of_one_policy_reads_no_settings_of_others(policy, tmp_path):
    add_policies(3)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"policies": {"rl_v3": {"ppo": {"gamma": 0.5}}}}))
    for command in (("set", "rl_v3.ppo.gamma=0.9"), ("import", str(file))):
        read = [sql for sql in queries_of("policystore", *command) if sql.startswith("SELECT") and '."ppo"' in sql]
        assert len(read) >= 2
        assert all("WHERE" in sql for sql in read)


def test_consequences_of_more_changes_take_no_more_queries(policy, tmp_path, capsys):
    def warnings_of(count: int) -> int:
        names = ["rl_v3", "other_0", "other_1", "other_2"][:count]
        file = tmp_path / "settings.json"
        file.write_text(json.dumps({"policies": {name: {"environment": {"fee": 0.001}} for name in names}}))
        sql = queries_of("policystore", "import", "--dry-run", str(file))
        return len([one for one in sql if "policyversion" in one or "validation" in one])

    for each in [policy, *add_policies(3)]:
        version_to_continue(each)
    assert warnings_of(1) == warnings_of(4) > 0
