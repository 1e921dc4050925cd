"""The history of a policy in the admin: its list of changes, and reverting to an entry."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from rl_training.core.config import PPOConfig
from rl_training.models import PolicyStore
from tests.admin.policy_pages import LIST, edit, form_data
from tests.api_clients import user_of
from tests.stored import finished_run

pytestmark = pytest.mark.django_db


def test_history_lists_users_and_changed_settings(admin, policy):
    edit(admin, policy, ppo={"gamma": 0.5})
    edit(admin, policy, interval_minutes=5)
    entries = admin.get(f"{LIST}{policy.pk}/history/").context["page_obj"].object_list
    assert [str(entry.history_user) for entry in entries] == ["admin", "admin", "None"]
    assert entries[0].history_delta_changes == [{"field": "interval_minutes", "old": 60, "new": 5}]
    assert entries[1].history_delta_changes == [{"field": "ppo.gamma", "old": 0.99, "new": 0.5}]


def test_revert_restores_settings_and_keeps_bookkeeping(admin, policy):
    edit(admin, policy, interval_minutes=5, ppo={"gamma": 0.5})
    PolicyStore.objects.filter(pk=policy.pk).update(total_runs=3)
    first = PolicyStore.history.earliest()
    url = f"{LIST}{policy.pk}/history/{first.pk}/"
    assert admin.post(url, form_data(admin.get(url))).status_code == 302
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.ppo.gamma, policy.total_runs) == (60, 0.99, 3)
    assert PolicyStore.history.latest().history_user.username == "admin"


def test_revert_without_permission_is_refused(client, admin, policy):
    edit(admin, policy, interval_minutes=5)
    url = f"{LIST}{policy.pk}/history/{PolicyStore.history.earliest().pk}/"
    form = form_data(admin.get(url))
    user = user_of("viewer")
    User.objects.update(is_staff=True)
    client.force_login(user)
    assert client.get(url).status_code == 200
    assert client.post(url, form).status_code == 403
    policy.refresh_from_db()
    assert policy.interval_minutes == 5


@pytest.mark.parametrize(
    "address", ["abc/history/", "1/history/abc/", "1/history/0/", "9/history/9/", f"{9**30}/history/"]
)
def test_url_of_unknown_history_entry_is_no_error(admin, policy, address):
    assert admin.get(f"{LIST}{address}", follow=True).status_code in (200, 404)


def test_invalid_history_entry_is_listed_and_repaired_by_revert(admin, policy):
    edit(admin, policy, ppo={"gamma": 0.5})
    first = PolicyStore.history.earliest()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE rl_training_historicalpolicystore SET ppo = %s WHERE history_id = %s", ['{"old": 1}', first.pk]
        )
    entries = admin.get(f"{LIST}{policy.pk}/history/").context["page_obj"].object_list
    assert {"field": "ppo.old", "old": 1, "new": None} in entries[0].history_delta_changes
    url = f"{LIST}{policy.pk}/history/{first.pk}/"
    response = admin.get(url)
    assert "The ppo of this entry is no longer valid" in str(next(iter(response.context["messages"])))
    assert admin.post(url, form_data(response)).status_code == 302
    assert PolicyStore.objects.get(pk=policy.pk).ppo == PPOConfig()


def test_revert_page_shows_the_state_of_the_policy(admin, policy):
    for _ in range(3):
        finished_run(policy)
    PolicyStore.objects.update(total_runs=3, succeeded_runs=3)
    url = f"{LIST}{policy.pk}/history/{policy.history.latest().pk}/"
    page = admin.get(url).content.decode()
    assert '<span class="outcome succeeded"' in page
    assert "3 of 3 succeeded" in page
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(minutes=1))
    assert ">now</span>" in admin.get(url).content.decode()
