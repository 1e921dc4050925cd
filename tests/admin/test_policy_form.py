"""The admin's form of a policy: its fields, its refusals, and the rows that it writes."""

import json
from datetime import UTC, datetime

import pytest
from django.db.models.signals import pre_save

from rl_training.admin.config_field import form_schema
from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore, PolicyVersion
from tests.admin.policy_pages import LIST, change_url, edit, errors, form_data
from tests.stored import MARKUP, finished_run, store_raw, walked_forward

pytestmark = pytest.mark.django_db


def test_form_saved_as_shown_changes_no_setting(admin, policy):
    before = PolicyStore.objects.values(*PolicyStore.SETTINGS).get(pk=policy.pk)
    assert edit(admin, policy).status_code == 302
    assert PolicyStore.objects.values(*PolicyStore.SETTINGS).get(pk=policy.pk) == before


def test_edited_settings_are_saved(admin, policy):
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


def test_settings_of_versions_have_a_group_and_are_saved(admin, policy):
    groups = dict(admin.get(change_url(policy)).context["adminform"].fieldsets)
    assert groups["Versions"]["fields"] == ("start_from", "seeds", "promotion", "must_beat", "revalidate_days")
    assert "min_new_bars" in groups["Schedule"]["fields"]
    given = {"start_from": "live", "seeds": 5, "promotion": "newest", "min_new_bars": 24}
    given |= {"must_beat": "flat", "revalidate_days": 7, "fallback": "previous", "drawdown_limit": 20}
    assert edit(admin, policy, **given).status_code == 302
    assert PolicyStore.objects.values(*given).get() == given
    bad = {"start_from": "best", "promotion": "", "seeds": 33, "min_new_bars": -1}
    bad |= {"must_beat": "nothing", "revalidate_days": 0, "fallback": "never", "drawdown_limit": 0}
    assert set(errors(edit(admin, policy, **bad))) == set(given)


def test_edit_keeps_bookkeeping_written_meanwhile(admin, policy):
    data = form_data(admin.get(change_url(policy)))
    slot = datetime(2030, 1, 1, tzinfo=UTC)
    PolicyStore.objects.filter(pk=policy.pk).update(next_run_at=slot, total_runs=7, succeeded_runs=6)
    assert admin.post(change_url(policy), data | {"interval_minutes": 5}).status_code == 302
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.next_run_at, policy.total_runs, policy.succeeded_runs) == (5, slot, 7, 6)


def test_added_policy_has_defaults(admin):
    data = form_data(admin.get(f"{LIST}add/"))
    assert admin.post(f"{LIST}add/", data | {"name": "btc_hourly"}).status_code == 302
    added = PolicyStore.objects.get(name="btc_hourly")
    assert (added.enabled, added.interval_minutes, added.episodes_per_run) == (True, 60, 2)
    assert (added.market, added.environment, added.ppo) == (MarketConfig(), EnvironmentConfig(), PPOConfig())


@pytest.mark.parametrize("name", ["", "RL", "a b", "../x", "a" * 51, MARKUP])
def test_invalid_name_is_refused(admin, name):
    data = form_data(admin.get(f"{LIST}add/"))
    assert "name" in errors(admin.post(f"{LIST}add/", data | {"name": name}))


def test_name_that_is_taken_after_the_validation_is_no_internal_error(admin):
    data = form_data(admin.get(f"{LIST}add/")) | {"name": "btc_hourly"}

    def take_name(**_):
        pre_save.disconnect(take_name, PolicyStore)
        PolicyStore.objects.bulk_create([PolicyStore(name="btc_hourly")])

    pre_save.connect(take_name, PolicyStore)
    assert admin.post(f"{LIST}add/", data).status_code == 302
    assert "name" in errors(admin.post(f"{LIST}add/", data))
    assert PolicyStore.objects.filter(name="btc_hourly").count() == 1


def test_name_of_existing_policy_is_read_only(admin, policy):
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
def test_number_out_of_range_is_refused_at_its_field(admin, policy, field, value, message):
    assert errors(edit(admin, policy, **{field: value})) == {field: [message]}
    before = getattr(policy, field)
    policy.refresh_from_db()
    assert getattr(policy, field) == before


def test_config_setting_out_of_range_is_refused_with_its_range(admin, policy):
    response = edit(admin, policy, ppo={"gamma": 2})
    assert errors(response) == {
        "ppo": ["gamma: Input should be less than or equal to 1, got 2 (Discount per step. 0 to 1.)"]
    }
    field = response.context["adminform"].form.fields["ppo"]
    assert field.widget.error_map == {"gamma": ["Input should be less than or equal to 1, got 2"]}
    assert json.loads(form_data(response)["ppo"])["gamma"] == 2  # shown again, to be corrected
    policy.refresh_from_db()
    assert policy.ppo.gamma == 0.99


def test_config_is_rendered_as_fields_with_help(admin, policy):
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


def test_edit_of_policy_changed_meanwhile_is_refused(admin, policy):
    data = form_data(admin.get(change_url(policy)))
    policy.episodes_per_run = 9
    policy.save_settings()
    response = admin.post(change_url(policy), data | {"interval_minutes": 5})
    assert "was changed at" in errors(response)["__all__"][0]
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.episodes_per_run) == (60, 9)


def test_policy_with_invalid_config_is_listed_and_repaired(admin, policy):
    store_raw(policy, "environment", {"fee": 3, "bogus": 1, "episode_length": 99})
    store_raw(policy, "ppo", [1])
    assert admin.get(LIST).status_code == 200
    response = admin.get(change_url(policy))
    messages = [str(message) for message in response.context["messages"]]
    assert messages[0].startswith("The stored environment is invalid, and no run can start: fee: ")
    assert messages[1].startswith("The stored ppo is invalid")
    assert admin.post(change_url(policy), form_data(response)).status_code == 302
    policy = PolicyStore.objects.get(pk=policy.pk)
    assert policy.environment == EnvironmentConfig(episode_length=99)
    assert policy.ppo == PPOConfig()


@pytest.fixture
def version(policy):
    policy.start_from = "newest"
    policy.save_settings()
    config = {name: getattr(policy, name).model_dump(mode="json") for name in ("market", "environment", "ppo")}
    run = finished_run(policy, config=config)
    return PolicyVersion.objects.create(policy=policy, number=1, run=run, artifact="a", sha256="b", evaluation={})


def test_edit_that_discards_learned_weights_asks_once(admin, policy, version):
    response = edit(admin, policy, environment={"positions": [0, 1]})
    assert errors(response) == {
        "from_scratch": [
            "The next run starts from scratch and does not use the weights of version 1: positions changed."
        ]
    }
    assert 'type="checkbox" name="from_scratch"' in response.content.decode()
    assert edit(admin, policy, environment={"positions": [0, 1]}, from_scratch="on").status_code == 302
    policy.refresh_from_db()
    assert policy.environment.positions == [0.0, 1.0]
    assert edit(admin, policy, interval_minutes=5).status_code == 302


def test_edit_of_the_market_says_from_which_version_it_continues(admin, policy, version):
    assert edit(admin, policy, market={"source": "nasdaq"}).status_code == 302
    message, *_ = admin.get(LIST).context["messages"]
    assert "continues from version 1, which was trained on sp500, on nasdaq" in str(message)


def test_form_of_an_unchanged_policy_shows_no_question(admin, policy, version):
    assert 'type="hidden" name="from_scratch"' in admin.get(change_url(policy)).content.decode()
    assert edit(admin, policy, interval_minutes=5).status_code == 302


def test_edit_of_a_validated_recipe_asks_once(admin, policy):
    validation = walked_forward(policy)
    response = edit(admin, policy, ppo={"gamma": 0.5})
    assert errors(response) == {
        "expires": [
            f"Validation {validation} expires: it is for the present recipe only. No new version goes live by "
            "itself until the new recipe is validated, which is a trial."
        ]
    }
    assert 'type="checkbox" name="expires"' in response.content.decode()
    assert edit(admin, policy, interval_minutes=5).status_code == 302
    assert edit(admin, policy, ppo={"gamma": 0.5}, expires="on").status_code == 302


def test_edit_back_to_a_validated_recipe_asks_nothing(admin, policy):
    walked_forward(policy)
    assert edit(admin, policy, episodes_per_run=5, expires="on").status_code == 302
    policy.refresh_from_db()
    walked_forward(policy)
    assert edit(admin, policy, episodes_per_run=2).status_code == 302
