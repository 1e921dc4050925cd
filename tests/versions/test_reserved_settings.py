"""Settings that decide what becomes live, what a verdict demands or when guards act need the permission to deploy."""

from io import StringIO

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client

from rl_training.models import PolicyStore
from tests.admin.policy_pages import LIST, change_url, form_data
from tests.api_clients import JSON, client_of, patch, problem, user_of

pytestmark = pytest.mark.django_db
DEFAULTS = ("validated", "buy_and_hold", "flat", 0, 30)
OTHERS = {"promotion": "newest", "must_beat": "flat", "fallback": "none", "demotion_bars": 10, "drawdown_limit": 100}


def reserved(name="rl_v3"):
    return PolicyStore.objects.values_list(*OTHERS).get(name=name)


def set_all(policy, values):
    for name, value in values.items():
        setattr(policy, name, value)
    policy.save_settings()


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


@pytest.mark.parametrize(("name", "value"), OTHERS.items())
def test_operator_cannot_change_a_reserved_setting_by_the_api(policy, name, value):
    wanted = {name: value, "seeds": 2}
    refused = problem(patch(client_of("operator"), wanted), 400)
    assert refused["errors"] == [
        {"field": name, "detail": "Changing it needs the permission rl_training.add_deployment."}
    ]
    assert reserved() == DEFAULTS
    same = {name: getattr(policy, name), "seeds": 2}
    assert patch(client_of("operator"), same).status_code == 200
    assert patch(client_of("admin"), wanted).json()[name] == value


def test_new_policy_of_a_user_who_may_not_deploy_has_the_defaults(policy, editor):
    PolicyStore.objects.update(**OTHERS)
    url = "/api/v1/policies/"
    refused = problem(editor.post(url, OTHERS | {"name": "b"}, content_type=JSON), 400)
    assert [error["field"] for error in refused["errors"]] == list(OTHERS)
    assert editor.post(url, {"name": "a", "like": "rl_v3"}, content_type=JSON).status_code == 201
    assert editor.post("/policies/rl_v3/duplicate/", {"name": "c"}).status_code == 302
    assert (reserved("a"), reserved("c")) == (DEFAULTS, DEFAULTS)
    assert client_of("admin").post(url, {"name": "d", "like": "rl_v3"}, content_type=JSON).status_code == 201
    assert reserved("d") == tuple(OTHERS.values())


def test_operator_cannot_change_a_reserved_setting_in_the_admin(policy, editor):
    response = editor.get(change_url(policy))
    assert not OTHERS.keys() & response.context["adminform"].form.fields.keys()
    data = form_data(response) | OTHERS | {"seeds": "2"}
    assert editor.post(change_url(policy), data).status_code == 302
    policy.refresh_from_db()
    assert (reserved(), policy.seeds) == (DEFAULTS, 2)
    assert editor.post(f"{LIST}add/", data | {"name": "b", "enabled": ""}).status_code == 302
    assert reserved("b") == DEFAULTS


def test_revert_by_an_operator_keeps_reserved_settings(policy, editor):
    set_all(policy, OTHERS)
    entry = policy.history.first()
    now = {"promotion": "manual", "must_beat": "all", "fallback": "previous", "demotion_bars": 7, "drawdown_limit": 50}
    set_all(policy, {**now, "seeds": 5})
    url = f"{LIST}{policy.pk}/history/{entry.history_id}/"
    assert editor.post(url, form_data(editor.get(url))).status_code == 302
    policy.refresh_from_db()
    assert (reserved(), policy.seeds) == (tuple(now.values()), 3)


@pytest.mark.parametrize(("name", "value"), OTHERS.items())
def test_command_changes_a_reserved_setting(policy, name, value):
    call_command("policystore", "set", f"rl_v3.training.{name}={value}", stdout=StringIO())
    assert PolicyStore.objects.values_list(name, flat=True).get(name="rl_v3") == value
