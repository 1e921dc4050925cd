"""The list of policies in the admin: its columns, actions and permissions, and deleting policies."""

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rl_training.models import PolicyStore, TrainingRun
from tests.admin.policy_pages import LIST, act, change_url, choose, form_data, train
from tests.dashboard.pages.page_rows import version_of
from tests.stored import MARKUP, finished_run, store_raw

pytestmark = pytest.mark.django_db


def test_list_shows_outcomes_in_fixed_number_of_queries(admin, policy):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            page = admin.get(LIST).content.decode()
        return len(captured), page

    before, _ = queries()
    for number in range(5):
        other = PolicyStore.objects.create(name=f"other_{number}", schedule_error=MARKUP)
        finished_run(other, status="failed", error=MARKUP)
    after, page = queries()
    assert after == before
    assert page.count('class="outcome failed"') == 5
    assert MARKUP not in page


def test_last_run_is_shown_with_its_status_even_if_it_was_cancelled(admin, policy):
    finished_run(policy)
    finished_run(policy, status="cancelled")
    page = admin.get(LIST).content.decode()
    assert 'class="outcome cancelled"' in page
    assert 'class="outcome succeeded"' not in page


def test_train_now_queues_run(admin, policy):
    messages = train(admin, policy)
    run = TrainingRun.objects.get()
    assert (run.policy, run.trigger, run.status) == (policy, "admin", "queued")
    assert run.triggered_by is not None
    assert run.triggered_by.username == "admin"
    assert f"http://127.0.0.1:5555/task/{run.run_id}" in messages[0]


def test_train_now_asks_for_the_options_first(admin, policy):
    page = choose(admin, "train_now", policy).content.decode()
    for name in ("episodes", "seed", "initial_version", "from_scratch"):
        assert f'name="{name}"' in page
    assert not TrainingRun.objects.exists()


def test_train_now_uses_the_options_for_each_policy(admin, policy):
    other = PolicyStore.objects.create(name="other")
    train(admin, policy, other, episodes="7", seed="3", from_scratch="on")
    found = [(run.episodes, run.config["seed"], run.initial_version) for run in TrainingRun.objects.all()]
    assert found == [(7, 3, None), (7, 3, None)]


def test_train_now_with_an_invalid_option_queues_no_run(admin, policy):
    other = PolicyStore.objects.create(name="other")
    version_of(finished_run(policy), 1)
    page = choose(admin, "train_now", policy, other, confirmed="yes", initial_version="1", seed="-1")
    assert page.context["form"].errors == {
        "initial_version": ["other has no version 1."],
        "seed": ["A whole number from 0 to 4,294,967,295."],
    }
    assert not TrainingRun.objects.active().exists()


def test_train_now_names_policies_that_cannot_train(admin, policy):
    broken = PolicyStore.objects.create(name="broken")
    store_raw(broken, "market", {"source": "nyse"})
    train(admin, policy)
    active = TrainingRun.objects.get()
    assert train(admin, policy, broken) == [
        "Policy broken: its settings are invalid; open the policy and save corrected settings. market.source: Input "
        "should be 'sp500', 'nasdaq', 'file', 'exchange' or 'planted', got nyse",
        f"Not queued: policy rl_v3 already has a queued run, {active.run_id}.",
    ]
    assert TrainingRun.objects.count() == 1


def test_enable_and_disable_are_recorded(admin, policy):
    before = policy.updated_at
    assert act(admin, "disable", policy) == ["Policy rl_v3 is disabled."]
    policy.refresh_from_db()
    assert not policy.enabled
    assert policy.updated_at > before
    entry = PolicyStore.history.latest()
    assert (entry.enabled, entry.history_user.username) == (False, "admin")
    act(admin, "enable", policy)
    policy.refresh_from_db()
    assert policy.enabled


def test_actions_without_change_permission_do_nothing(client, policy):
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_policystore"))
    client.force_login(user)
    act(client, "disable", policy)
    train(client, policy)
    assert PolicyStore.objects.get(pk=policy.pk).enabled
    assert not TrainingRun.objects.exists()
    assert client.get(change_url(policy)).status_code == 200
    assert client.post(change_url(policy), {"interval_minutes": 5}).status_code == 403


def test_train_now_needs_permission_to_add_runs(client, policy):
    user = User.objects.create_user("trainer", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_policystore", "change_policystore"]))
    client.force_login(user)
    train(client, policy)
    assert not TrainingRun.objects.exists()
    user.user_permissions.add(Permission.objects.get(codename="add_trainingrun"))
    train(client, policy)
    assert TrainingRun.objects.count() == 1


def test_policy_with_runs_is_not_deleted(admin, policy):
    finished_run(policy)
    page = admin.get(f"{LIST}{policy.pk}/delete/").content.decode()
    assert "rl_v3 has training runs; disable it instead" in page
    admin.post(f"{LIST}{policy.pk}/delete/", {"post": "yes"})
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [policy.pk], "post": "yes"})
    assert PolicyStore.objects.filter(pk=policy.pk).exists()


def test_policies_without_runs_are_deleted(admin, policy):
    other = PolicyStore.objects.create(name="other")
    store_raw(other, "ppo", {"gamma": 7})
    admin.post(f"{LIST}{other.pk}/delete/", {"post": "yes"})
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [policy.pk], "post": "yes"})
    assert not PolicyStore.objects.exists()


def test_duplicate_opens_form_with_the_settings(admin, policy):
    policy.interval_minutes = 7
    policy.ppo = policy.ppo.model_copy(update={"gamma": 0.5})
    policy.save_settings()
    data = {"action": "duplicate", "_selected_action": [policy.pk]}
    url = admin.post(LIST, data).headers["Location"]
    shown = form_data(admin.get(url))
    assert shown["interval_minutes"] == 7
    assert not shown.keys() & {"name", "enabled"}
    assert admin.post(url, shown | {"name": "copy"}).status_code == 302
    copy = PolicyStore.objects.get(name="copy")
    assert (copy.ppo, copy.interval_minutes, copy.enabled) == (policy.ppo, 7, False)


def test_several_policies_are_not_duplicated_at_once(admin, policy):
    other = PolicyStore.objects.create(name="other")
    assert act(admin, "duplicate", policy, other) == ["Select one policy to duplicate."]


@pytest.mark.parametrize("like", ["x", "0", "9" * 30, "%00"])
def test_form_like_unknown_policy_shows_defaults(admin, policy, like):
    assert form_data(admin.get(f"{LIST}add/?like={like}"))["interval_minutes"] == 60
