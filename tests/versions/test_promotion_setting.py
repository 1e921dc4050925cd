"""Changing `promotion`, which decides what becomes live, needs the permission to deploy on every path."""

from io import StringIO

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client

from rl_training.models import PolicyStore
from tests.admin.policy_pages import LIST, change_url, form_data
from tests.api_clients import JSON, client_of, patch, problem, user_of

pytestmark = pytest.mark.django_db


def promotion(name="rl_v3"):
    return PolicyStore.objects.get(name=name).promotion


@pytest.fixture
def editor(policy):
    """Return an operator who may create policies and enter the admin."""
    user = user_of("operator")
    user.is_staff = True
    user.save()
    user.user_permissions.add(Permission.objects.get(codename="add_policystore"))
    client = Client()
    client.force_login(user)
    return client


def test_operator_cannot_change_it_by_the_api(policy):
    wanted = {"promotion": "newest", "seeds": 2}
    refused = problem(patch(client_of("operator"), wanted), 400)
    assert refused["errors"][0] == {
        "field": "promotion",
        "detail": "Changing it needs the permission rl_training.add_deployment.",
    }
    assert promotion() == "validated"
    assert patch(client_of("operator"), {"promotion": "validated", "seeds": 2}).status_code == 200
    assert patch(client_of("admin"), wanted).status_code == 200
    assert promotion() == "newest"


def test_new_policy_of_a_user_who_may_not_deploy_is_gated(policy, editor):
    PolicyStore.objects.update(promotion="newest")
    url = "/api/v1/policies/"
    assert problem(editor.post(url, {"name": "b", "promotion": "newest"}, content_type=JSON), 400)["errors"][0]["field"]
    assert editor.post(url, {"name": "a", "like": "rl_v3"}, content_type=JSON).status_code == 201
    assert editor.post("/policies/rl_v3/duplicate/", {"name": "c"}).status_code == 302
    assert (promotion("a"), promotion("c")) == ("validated", "validated")
    assert (
        client_of("admin").post(url, {"name": "d", "like": "rl_v3"}, content_type=JSON).json()["promotion"] == "newest"
    )


def test_operator_cannot_change_it_in_the_admin(policy, editor):
    response = editor.get(change_url(policy))
    assert "promotion" not in response.context["adminform"].form.fields
    data = form_data(response) | {"promotion": "newest", "seeds": "2"}
    assert editor.post(change_url(policy), data).status_code == 302
    policy.refresh_from_db()
    assert (policy.promotion, policy.seeds) == ("validated", 2)
    assert editor.post(f"{LIST}add/", data | {"name": "b", "enabled": ""}).status_code == 302
    assert promotion("b") == "validated"


def test_revert_by_an_operator_leaves_it_as_it_is(policy, editor):
    policy.promotion = "newest"
    policy.save_settings()
    entry = policy.history.first()
    policy.promotion, policy.seeds = "manual", 5
    policy.save_settings()
    url = f"{LIST}{policy.pk}/history/{entry.history_id}/"
    assert editor.post(url, form_data(editor.get(url))).status_code == 302
    policy.refresh_from_db()
    assert (policy.promotion, policy.seeds) == ("manual", 3)


def test_command_changes_it(policy):
    call_command("policystore", "set", "rl_v3.training.promotion=newest", stdout=StringIO())
    assert promotion() == "newest"
