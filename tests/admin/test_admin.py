import json
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rl_training.admin.config_field import form_schema
from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore, TrainingRun
from tests.stored import MARKUP, finished_run, store_raw

pytestmark = pytest.mark.django_db
LIST = "/admin/rl_training/policystore/"


@pytest.fixture
def admin(admin_client):
    return admin_client


def change_url(policy):
    return f"{LIST}{policy.pk}/change/"


def form_data(response):
    """What a browser sends when the form is saved as it is shown."""
    form = response.context["adminform"].form
    values = {field.html_name: field.value() for field in form}
    return {name: value for name, value in values.items() if value not in (None, False)}


def edit(client, policy, **fields):
    """Open the policy's form, change the fields, save; a config's fields are given as a dict."""
    data = form_data(client.get(change_url(policy)))
    for name, value in fields.items():
        data[name] = json.dumps(json.loads(data[name]) | value) if isinstance(value, dict) else value
    return client.post(change_url(policy), data)


def errors(response):
    return response.context["adminform"].form.errors


def act(client, action, *policies):
    data = {"action": action, "_selected_action": [policy.pk for policy in policies]}
    response = client.post(LIST, data, follow=True)
    return [str(message) for message in response.context["messages"]]


def test_saving_the_form_as_shown_changes_no_setting(admin, policy):
    before = PolicyStore.objects.values(*PolicyStore.SETTINGS).get(pk=policy.pk)
    assert edit(admin, policy).status_code == 302
    assert PolicyStore.objects.values(*PolicyStore.SETTINGS).get(pk=policy.pk) == before


def test_settings_are_edited(admin, policy):
    response = edit(
        admin,
        policy,
        interval_minutes=1,
        market={"source": "nasdaq"},
        environment={"positions": [0, 1], "features": ["macd"]},
        ppo={"gamma": 0.5},
    )
    assert response.status_code == 302
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.market.source, policy.ppo.gamma) == (1, "nasdaq", 0.5)
    assert (policy.environment.positions, policy.environment.features) == ([0.0, 1.0], ["macd"])


def test_saving_an_edit_writes_no_bookkeeping(admin, policy):
    data = form_data(admin.get(change_url(policy)))
    slot = datetime(2030, 1, 1, tzinfo=UTC)
    PolicyStore.objects.filter(pk=policy.pk).update(next_run_at=slot, total_runs=7, succeeded_runs=6)
    assert admin.post(change_url(policy), data | {"interval_minutes": 5}).status_code == 302
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.next_run_at, policy.total_runs, policy.succeeded_runs) == (5, slot, 7, 6)


def test_a_policy_is_added_with_defaults(admin):
    data = form_data(admin.get(f"{LIST}add/"))
    assert admin.post(f"{LIST}add/", data | {"name": "btc_hourly"}).status_code == 302
    added = PolicyStore.objects.get(name="btc_hourly")
    assert (added.enabled, added.interval_minutes, added.episodes_per_run) == (True, 60, 2)
    assert (added.market, added.environment, added.ppo) == (MarketConfig(), EnvironmentConfig(), PPOConfig())


@pytest.mark.parametrize("name", ["", "RL", "a b", "../x", "a" * 51, MARKUP])
def test_a_bad_name_is_refused_beside_it(admin, name):
    data = form_data(admin.get(f"{LIST}add/"))
    assert "name" in errors(admin.post(f"{LIST}add/", data | {"name": name}))


def test_a_policy_keeps_its_name(admin, policy):
    edit(admin, policy, name="other")
    policy.refresh_from_db()
    assert policy.name == "rl_v3"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("interval_minutes", 0, "interval_minutes: a whole number from 1 to 527,040."),
        ("interval_minutes", -1, "interval_minutes: a whole number from 1 to 527,040."),
        ("interval_minutes", 527_041, "interval_minutes: a whole number from 1 to 527,040."),
        ("interval_minutes", "1e3", "interval_minutes: a whole number from 1 to 527,040."),
        ("interval_minutes", "", "interval_minutes: a whole number from 1 to 527,040."),
        ("interval_minutes", 2**63, "interval_minutes: a whole number from 1 to 527,040."),
        ("episodes_per_run", 0, "episodes_per_run: a whole number from 1 to 1,000,000."),
    ],
)
def test_a_number_out_of_range_is_refused_beside_its_field(admin, policy, field, value, message):
    assert errors(edit(admin, policy, **{field: value})) == {field: [message]}
    before = getattr(policy, field)
    policy.refresh_from_db()
    assert getattr(policy, field) == before


def test_a_setting_out_of_range_is_refused_beside_it_with_its_range(admin, policy):
    response = edit(admin, policy, ppo={"gamma": 2})
    assert errors(response) == {
        "ppo": ["gamma: Input should be less than or equal to 1, got 2 (Discount per step. 0 to 1.)"]
    }
    field = response.context["adminform"].form.fields["ppo"]
    assert field.widget.error_map == {"gamma": ["Input should be less than or equal to 1, got 2"]}
    assert json.loads(form_data(response)["ppo"])["gamma"] == 2  # shown again, to be corrected
    policy.refresh_from_db()
    assert policy.ppo.gamma == 0.99


def test_settings_are_rendered_as_fields_with_help(admin, policy):
    page = admin.get(change_url(policy)).content.decode()
    assert page.count("data-django-jsonform=") == 3
    gamma = form_schema(PPOConfig)["properties"]["gamma"]
    assert (gamma["type"], gamma["minimum"], gamma["maximum"], gamma["help_text"]) == (
        "number",
        0,
        1,
        "Discount per step. 0 to 1.",
    )
    assert form_schema(MarketConfig)["properties"]["source"]["enum"][:2] == ["sp500", "nasdaq"]
    assert form_schema(EnvironmentConfig)["properties"]["features"]["items"]["widget"] == "multiselect"


def test_an_edit_of_what_was_changed_meanwhile_is_refused(admin, policy):
    data = form_data(admin.get(change_url(policy)))
    policy.episodes_per_run = 9
    policy.save_settings()
    response = admin.post(change_url(policy), data | {"interval_minutes": 5})
    assert "was changed at" in errors(response)["__all__"][0]
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.episodes_per_run) == (60, 9)


def test_the_history_says_who_changed_what(admin, policy):
    edit(admin, policy, ppo={"gamma": 0.5})
    edit(admin, policy, interval_minutes=5)
    entries = admin.get(f"{LIST}{policy.pk}/history/").context["page_obj"].object_list
    assert [str(entry.history_user) for entry in entries] == ["admin", "admin", "None"]
    assert entries[0].history_delta_changes == [{"field": "interval_minutes", "old": 60, "new": 5}]
    assert entries[1].history_delta_changes == [{"field": "ppo.gamma", "old": 0.99, "new": 0.5}]


def test_settings_are_taken_back(admin, policy):
    edit(admin, policy, interval_minutes=5, ppo={"gamma": 0.5})
    PolicyStore.objects.filter(pk=policy.pk).update(total_runs=3)
    first = PolicyStore.history.earliest()
    url = f"{LIST}{policy.pk}/history/{first.pk}/"
    assert admin.post(url, form_data(admin.get(url))).status_code == 302
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.ppo.gamma, policy.total_runs) == (60, 0.99, 3)
    assert PolicyStore.history.latest().history_user.username == "admin"


def test_who_may_only_look_takes_nothing_back(client, admin, policy):
    edit(admin, policy, interval_minutes=5)
    url = f"{LIST}{policy.pk}/history/{PolicyStore.history.earliest().pk}/"
    form = form_data(admin.get(url))
    user = User.objects.create_user("viewer", is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    client.force_login(user)
    assert client.get(url).status_code == 200
    assert client.post(url, form).status_code == 403
    policy.refresh_from_db()
    assert policy.interval_minutes == 5


@pytest.mark.parametrize(
    "address", ["abc/history/", "1/history/abc/", "1/history/0/", "9/history/9/", f"{9**30}/history/"]
)
def test_a_history_that_is_none_is_not_found(admin, policy, address):
    assert admin.get(f"{LIST}{address}", follow=True).status_code in (200, 404)


def test_settings_that_are_not_valid_any_more_are_listed_and_cannot_be_taken_back(admin, policy):
    edit(admin, policy, ppo={"gamma": 0.5})
    first = PolicyStore.history.earliest()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE rl_training_historicalpolicystore SET ppo = %s WHERE history_id = %s", ['{"old": 1}', first.pk]
        )
    entries = admin.get(f"{LIST}{policy.pk}/history/").context["page_obj"].object_list
    assert {"field": "ppo.old", "old": 1, "new": None} in entries[0].history_delta_changes
    response = admin.get(f"{LIST}{policy.pk}/history/{first.pk}/", follow=True)
    assert "not valid any more" in str(next(iter(response.context["messages"])))


def test_a_policy_stored_invalid_is_listed_and_repaired(admin, policy):
    store_raw(policy, "environment", {"fee": 3, "bogus": 1, "episode_length": 99})
    store_raw(policy, "ppo", [1])
    assert admin.get(LIST).status_code == 200
    response = admin.get(change_url(policy))
    messages = [str(message) for message in response.context["messages"]]
    assert messages[0].startswith("What is stored in environment is invalid, and no run can start: fee: ")
    assert messages[1].startswith("What is stored in ppo is invalid")
    assert admin.post(change_url(policy), form_data(response)).status_code == 302
    policy = PolicyStore.objects.get(pk=policy.pk)
    assert policy.environment == EnvironmentConfig(episode_length=99)
    assert policy.ppo == PPOConfig()


def test_the_list_shows_the_last_outcome_in_a_fixed_number_of_queries(admin, policy):
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


def test_train_now_queues_a_run(admin, policy):
    messages = act(admin, "train_now", policy)
    run = TrainingRun.objects.get()
    assert (run.policy, run.trigger, run.status) == (policy, "admin", "queued")
    assert f"http://127.0.0.1:5555/task/{run.run_id}" in messages[0]


def test_train_now_names_the_policies_that_cannot(admin, policy):
    broken = PolicyStore.objects.create(name="broken")
    store_raw(broken, "market", {"source": "nyse"})
    act(admin, "train_now", policy)
    active = TrainingRun.objects.get()
    assert act(admin, "train_now", policy, broken) == [
        "Policy broken: what is stored is invalid; open it and save it repaired. market.source: Input should be "
        "'sp500', 'nasdaq', 'file', 'exchange' or 'planted', got nyse",
        f"Not queued: policy rl_v3 already has a queued run, {active.run_id}.",
    ]
    assert TrainingRun.objects.count() == 1


def test_enable_and_disable_are_recorded_and_seen_by_beat(admin, policy):
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


def test_actions_need_the_permission_to_change(client, policy):
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_policystore"))
    client.force_login(user)
    act(client, "disable", policy)
    act(client, "train_now", policy)
    assert PolicyStore.objects.get(pk=policy.pk).enabled
    assert not TrainingRun.objects.exists()
    assert client.get(change_url(policy)).status_code == 200
    assert client.post(change_url(policy), {"interval_minutes": 5}).status_code == 403


def test_to_train_takes_the_permission_to_add_runs(client, policy):
    user = User.objects.create_user("trainer", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_policystore", "change_policystore"]))
    client.force_login(user)
    act(client, "train_now", policy)
    assert not TrainingRun.objects.exists()
    user.user_permissions.add(Permission.objects.get(codename="add_trainingrun"))
    act(client, "train_now", policy)
    assert TrainingRun.objects.count() == 1


def test_a_policy_with_runs_is_not_deleted(admin, policy):
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
