from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.models import PolicyStore, TrainingRun
from rl_training.schedule import slots
from tests.dashboard.pages.page_rows import active_run, version_of
from tests.dashboard.pages.page_text import words
from tests.stored import finished_run, store_raw

pytestmark = pytest.mark.django_db
SETTINGS = "/policies/rl_v3/settings/"


@pytest.fixture
def operator(signed_in):
    return signed_in("operator")


def form(policy, **changes):
    policy = PolicyStore.objects.get(pk=policy.pk)
    kept = {"interval_minutes": policy.interval_minutes, "episodes_per_run": policy.episodes_per_run}
    return kept | {"seen": policy.updated_at.isoformat()} | changes


def shown(client, **sent):
    answer = client.post(SETTINGS, sent)
    assert answer.status_code == 200
    return words(answer.content.decode())


def test_settings_are_reviewed_then_saved(operator, policy):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=50))
    text = shown(operator, **form(policy, interval_minutes=90), action="review")
    assert "interval_minutes 60 90" in text
    assert "Saving starts no run now." in text
    assert PolicyStore.objects.get().interval_minutes == 60
    answer = operator.post(SETTINGS, form(policy, interval_minutes=90) | {"action": "save"}, follow=True)
    assert [str(message) for message in answer.context["messages"]] == ["Saved: interval_minutes 90."]
    assert PolicyStore.objects.get().interval_minutes == 90


@pytest.mark.parametrize(
    ("minutes", "enabled", "busy", "sentence"),
    [
        (30, True, False, "Saving starts no run now."),
        (-1, True, False, "Saving starts a run now."),
        (-1, True, True, "Saving starts no run now: a run is queued or running, and the next run follows it."),
        (-1, False, False, "The policy is disabled: saving starts no run."),
    ],
)
def test_preview_says_whether_saving_starts_a_run(operator, policy, minutes, enabled, busy, sentence):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=minutes), enabled=enabled)
    if busy:
        active_run(policy)
    assert sentence in shown(operator, **form(policy), action="preview")


def test_preview_equals_the_slots_of_beat(operator, policy):
    """A shortened interval counts from the last slot; a slot in the past is due at once."""
    now = timezone.now()
    for minutes_ago, interval, starts in ((50, 60, False), (50, 40, True)):
        TrainingRun.objects.all().delete()
        finished_run(policy, scheduled_for=now - timedelta(minutes=minutes_ago))
        PolicyStore.objects.update(next_run_at=now + timedelta(minutes=600 - minutes_ago), interval_minutes=600)
        answer = operator.post(SETTINGS, form(policy, interval_minutes=interval) | {"action": "preview"})
        preview = answer.context["preview"]
        saved = PolicyStore.objects.get()
        saved.interval_minutes = interval
        slots.bring_forward(saved, now)
        assert abs(preview.due[0] - saved.next_run_at) < timedelta(seconds=10)
        assert ("a run now" in preview.sentence.replace("no run now", "")) is starts
        steps = {later - earlier for earlier, later in zip(preview.due, preview.due[1:], strict=False)}
        assert steps == {timedelta(minutes=interval)}
        assert len(preview.due) == 5


def test_edit_of_settings_changed_meanwhile_is_refused(operator, policy):
    mine = form(policy, episodes_per_run=9)
    PolicyStore.objects.update(interval_minutes=7, updated_at=timezone.now())
    text = shown(operator, **mine, action="save")
    assert "after this form was opened" in text
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.episodes_per_run) == (7, 2)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "", "many", "99999999"])
def test_invalid_interval_is_refused(operator, policy, value):
    for action in ("preview", "review", "save"):
        assert "interval_minutes: a whole number from 1 to 527,040." in shown(
            operator, **form(policy, interval_minutes=value), action=action
        )
    assert PolicyStore.objects.get().interval_minutes == 60


def test_settings_beside_an_invalid_config_are_not_saved(operator, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    refusal = "repair them in the admin first. ppo.gamma: Input should be less than or equal to 1, got 7"
    opened = words(operator.get(SETTINGS).content.decode())
    assert refusal in opened
    assert "Saving starts" not in opened
    sent = {"interval_minutes": 7, "episodes_per_run": 2}
    seen = PolicyStore.objects.values_list("updated_at", flat=True).get().isoformat()
    for action in ("preview", "review", "save"):
        answer = shown(operator, **sent, seen=seen, action=action)
        assert refusal in answer
        assert "Saving starts" not in answer
    assert PolicyStore.objects.values_list("interval_minutes", flat=True).get() == 60


def test_preview_says_that_learned_weights_will_not_be_used(operator, page, policy):
    policy.start_from = "newest"
    policy.save_settings()
    config = policy.training_config().model_dump(mode="json")
    version_of(finished_run(policy, config=config), 3)
    assert "The next run continues from version 3." in shown(
        operator, **form(policy, interval_minutes=90), action="review"
    )
    policy.environment = policy.environment.model_copy(update={"positions": [0.0, 1.0]})
    policy.save_settings()
    sentence = "starts from scratch and does not use the weights of version 3: positions changed."
    assert sentence in shown(operator, **form(policy, interval_minutes=90), action="review")
    assert sentence in words(page("/policies/rl_v3/"))
