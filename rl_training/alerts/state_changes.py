"""The state changes of an alert: opened while its rule's condition holds, acknowledged by a user, resolved afterwards.

While the condition holds, an alert about a run is moved to the newest run for which the condition holds.

No other code writes alerts. Each change writes its messages in the same transaction; the queue `alerts` sends them.
"""

from collections.abc import Collection, Iterable, Sequence

import structlog
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from rl_training.alerts.conditions import Holds, Rule
from rl_training.alerts.models import Alert, AlertChannel, AlertMessage, AlertRule

log = structlog.get_logger(__name__)


def open_alerts(found: Sequence[tuple[Rule, Holds]]) -> list[Alert]:
    """Open an alert for each rule, with a message to each of its channels.

    Opens all of them or none: returns an empty list when one of the rules already has an open alert or was deleted. The
    number of queries, five, does not depend on the number of alerts.
    """
    alerts = [
        Alert(rule_id=rule.pk, policy_id=rule.policy, kind=rule.kind, run_id=holds.run, message=holds.message)
        for rule, holds in found
    ]
    try:
        with transaction.atomic():
            Alert.objects.bulk_create(alerts)
            channels = channels_of_rules([alert.rule_id for alert in alerts])
            _write_messages(((alert.pk, channel) for alert in alerts for channel in channels[alert.rule_id]), "opened")
    except IntegrityError:
        # Another process opened one of the alerts, or a rule was deleted. The next round reads the rows again.
        log.info("Alerts were opened by another process", number=len(alerts))
        return []
    for alert in alerts:
        log.warning("Alert opened", kind=alert.kind, alert=alert.pk, reason=alert.message)
    return alerts


def resolve(alerts: Collection[int]) -> int:
    """Resolve the alerts with these ids that are open; return their number.

    Each enabled channel with a message about an alert's beginning gets a message about its end.
    """
    with transaction.atomic():
        resolved = Alert.objects.open().filter(pk__in=alerts).update(resolved_at=timezone.now())
        notified = AlertMessage.objects.filter(alert__in=alerts, event="opened", channel__enabled=True)
        _write_messages(notified.order_by("pk").values_list("alert", "channel"), "resolved")
    if resolved:
        log.info("Alerts resolved", alerts=sorted(alerts))
    return resolved


def follow(moved: Collection[tuple[Alert, Holds]]) -> None:
    """Move open alerts to the newest run for which the condition holds, with its message. Sends no notification."""
    for alert, holds in moved:
        alert.run_id, alert.message = holds.run, holds.message
    Alert.objects.bulk_update([alert for alert, _ in moved], ["run", "message"])


def acknowledge(alert: Alert, user: AbstractBaseUser | AnonymousUser) -> bool:
    """Record that `user` has seen the alert; return False when it is resolved or acknowledged already.

    Refreshes the given alert from the database.
    """
    unacknowledged = Alert.objects.unacknowledged().filter(pk=alert.pk)
    done = unacknowledged.update(acknowledged_at=timezone.now(), acknowledged_by=user)
    alert.refresh_from_db(fields=["acknowledged_at", "acknowledged_by", "resolved_at"])
    return bool(done)


def channels_of_rules(rules: Collection[int]) -> dict[int, list[int]]:
    """Map each rule's id to the ids of the enabled channels that receive its alerts."""
    receive_all = list(AlertChannel.objects.enabled().filter(every_alert=True).values_list("pk", flat=True))
    named = AlertRule.channels.through.objects.filter(
        alertrule__in=rules, alertchannel__enabled=True, alertchannel__every_alert=False
    )
    found = {rule: list(receive_all) for rule in rules}
    for rule, channel in named.values_list("alertrule", "alertchannel"):
        found[rule].append(channel)
    return found


def _write_messages(recipients: Iterable[tuple[int, int]], event: str) -> None:
    """Write a message of this event for each pair of alert id and channel id."""
    messages = [AlertMessage(alert_id=alert, channel_id=channel, event=event) for alert, channel in recipients]
    AlertMessage.objects.bulk_create(messages, ignore_conflicts=True)
