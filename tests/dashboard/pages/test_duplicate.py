import pytest
from django.contrib.admin.models import LogEntry

from rl_training.core.config import PPOConfig
from rl_training.models import PolicyStore
from tests.stored import store_raw

pytestmark = pytest.mark.django_db
URL = "/policies/rl_v3/duplicate/"


@pytest.fixture
def admin(signed_in):
    return signed_in("admin")


def test_duplicate_has_the_settings_and_is_disabled(admin, policy):
    policy.ppo = PPOConfig(gamma=0.5)
    policy.save_settings()
    answer = admin.post(URL, {"name": "copy"}, follow=True)
    assert answer.redirect_chain == [("/policies/copy/", 302)]
    assert "copy has the settings of rl_v3 and is disabled." in answer.content.decode()
    copy = PolicyStore.objects.get(name="copy")
    assert (copy.ppo, copy.enabled, copy.total_runs) == (PPOConfig(gamma=0.5), False, 0)
    assert copy.history.get().history_user.username == "admin"
    assert LogEntry.objects.get().get_change_message() == "Created with the settings of rl_v3."


@pytest.mark.parametrize("name", ["", "rl_v3", "B", "a b", "x" * 51])
def test_refused_name_is_explained_at_its_field(admin, policy, name):
    answer = admin.post(URL, {"name": name})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == ["name"]
    assert PolicyStore.objects.count() == 1


def test_invalid_settings_are_not_duplicated(admin, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    answer = admin.post(URL, {"name": "copy"})
    [error] = answer.context["form"].non_field_errors()
    assert error.startswith("ppo.gamma: Input should be less than or equal to 1")


def test_button_is_shown_to_those_who_may_add_policies(signed_in, policy):
    assert URL in signed_in("admin").get("/policies/rl_v3/").content.decode()
    assert URL not in signed_in("operator").get("/policies/rl_v3/").content.decode()
