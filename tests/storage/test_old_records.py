from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from rl_training.alerts.models import Alert, AlertMessage
from rl_training.models import PolicyStore
from rl_training.storage import old_records
from tests.alerts.rows import open_alerts

pytestmark = pytest.mark.django_db


def removed(now=None):
    return old_records.remove(now or timezone.now())


def test_history_keeps_the_newest_changes_of_each_policy(policy, settings):
    settings.SETTINGS_HISTORY_KEPT = 3
    other = PolicyStore.objects.create(name="other")
    for episodes in range(2, 7):
        policy.episodes_per_run = episodes
        policy.save_settings("episodes_per_run")
    number = policy.history.count()
    assert removed()["changes of settings"] == number - 3
    assert [change.episodes_per_run for change in policy.history.all()] == [6, 5, 4]
    assert other.history.count() == 1
    assert removed()["changes of settings"] == 0


def test_ended_sessions_are_removed():
    now = timezone.now()
    for key, seconds in (("ended", -1), ("valid", 60)):
        Session.objects.create(session_key=key, session_data="", expire_date=now + timedelta(seconds=seconds))
    assert removed(now)["sessions"] == 1
    assert Session.objects.get().session_key == "valid"


def test_alerts_are_removed_a_while_after_they_were_resolved(policy):
    open_alerts(policy, 3)
    now = timezone.now()
    resolved, old, _ = Alert.objects.order_by("pk")
    Alert.objects.filter(pk=resolved.pk).update(resolved_at=now - timedelta(days=89))
    Alert.objects.filter(pk=old.pk).update(resolved_at=now - timedelta(days=91))
    assert removed(now)["alerts"] == 1
    assert set(Alert.objects.all()) == {resolved, Alert.objects.open().get()}
    assert not AlertMessage.objects.filter(alert=old.pk).exists()
