import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from rl_training import roles
from tests.api_clients import client_of, problem

pytestmark = pytest.mark.django_db


def user_of(role):
    user = User.objects.create_user(role)
    user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def groups():
    # Transactional tests empty all tables, including the groups that a migration creates.
    roles.grant(apps)


@pytest.mark.parametrize(
    ("role", "sees", "edits", "trains", "deletes"),
    [
        ("viewer", True, False, False, False),
        ("operator", True, True, True, False),
        ("admin", True, True, True, True),
    ],
)
def test_role_has_its_permissions(groups, role, sees, edits, trains, deletes):
    user = user_of(role)
    assert user.has_perm("rl_training.view_trainingrun") is sees
    assert user.has_perm("rl_training.change_policystore") is edits
    assert user.has_perm("rl_training.add_trainingrun") is trains
    assert user.has_perm("rl_training.change_trainingrun") is trains
    assert user.has_perm("rl_training.delete_policystore") is deletes
    assert not user.has_perm("auth.change_user")


def test_permissions_of_roles_exist(groups):
    installed = {config.label for config in apps.get_app_configs()}
    known = {f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")}
    named = {name for name in roles.OPERATOR_PERMISSIONS if name.split(".")[0] in installed}
    assert named <= known


def test_second_grant_keeps_added_permissions(groups):
    extra = Permission.objects.get(codename="view_user")
    Group.objects.get(name="viewer").permissions.add(extra)
    roles.grant(apps)
    assert user_of("viewer").has_perm("auth.view_user")


def test_user_without_role_reads_only_the_summary(policy):
    client = client_of(None)
    assert client.get("/api/v1/rl-v3/dashboard/training-summary").status_code == 200
    for path in ("runs/", "policies/", "policies/rl_v3/", "policies/rl_v3/versions/", "events/", "alerts/"):
        assert "permission" in problem(client.get(f"/api/v1/{path}"), 403)["detail"]
