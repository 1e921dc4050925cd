"""An alert's life: opened once while its rule's condition holds, acknowledged by somebody, resolved when it is gone.

The only code that writes alerts. Messages are written in the same transaction and sent by the queue `alerts`.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone

from rl_training.alerts.judging import Holds, Rule
from rl_training.alerts.models import Alert, AlertChannel, AlertMessage, AlertRule

log = structlog.get_logger(__name__)


def open_alerts(found: Sequence[tuple[Rule, Holds]]) -> list[Alert]:
    """Open an alert of each rule, with a message to each of its channels; none where one is open already.

    Five queries, however many there are.
    """
    alerts = [
        Alert(rule_id=rule.pk, policy_id=rule.policy, kind=rule.kind, run_id=holds.run, message=holds.message)
        for rule, holds in found
    ]
    try:
        with transaction.atomic():
            Alert.objects.bulk_create(alerts)
            told = channels([alert.rule_id for alert in alerts])
            _tell(((alert.pk, channel) for alert in alerts for channel in told[alert.rule_id]), "opened")
    except IntegrityError:
        # Another process opened one of them, or a rule was deleted; the next round reads what is there now.
        log.info("Alerts were opened by another process", number=len(alerts))
        return []
    for alert in alerts:
        log.warning("Alert opened", kind=alert.kind, alert=alert.pk, reason=alert.message)
    return alerts


def resolve(alerts: Collection[int]) -> int:
    """Close the open ones of these alerts; those who were told of one are told of its end. Returns how many."""
    with transaction.atomic():
        resolved = Alert.objects.open().filter(pk__in=alerts).update(resolved_at=timezone.now())
        told = AlertMessage.objects.filter(alert__in=alerts, event="opened", channel__enabled=True)
        _tell(told.order_by("pk").values_list("alert", "channel"), "resolved")
    if resolved:
        log.info("Alerts resolved", alerts=sorted(alerts))
    return resolved


def acknowledge(alert: Alert, user: Any) -> bool:
    """Note that `user` knows of the alert; False when somebody did before, or it is over."""
    done = (
        Alert.objects.unacknowledged().filter(pk=alert.pk).update(acknowledged_at=timezone.now(), acknowledged_by=user)
    )
    alert.refresh_from_db(fields=["acknowledged_at", "acknowledged_by", "resolved_at"])
    return bool(done)


def channels(rules: Collection[int]) -> dict[int, list[int]]:
    """The ids of the enabled channels that are told of an alert of each rule."""
    everywhere = list(AlertChannel.objects.enabled().filter(every_alert=True).values_list("pk", flat=True))
    named = AlertRule.channels.through.objects.filter(
        alertrule__in=rules, alertchannel__enabled=True, alertchannel__every_alert=False
    )
    found = {rule: list(everywhere) for rule in rules}
    for rule, channel in named.values_list("alertrule", "alertchannel"):
        found[rule].append(channel)
    return found


def _tell(whom: Iterable[tuple[int, int]], event: str) -> None:
    messages = [AlertMessage(alert_id=alert, channel_id=channel, event=event) for alert, channel in whom]
    AlertMessage.objects.bulk_create(messages, ignore_conflicts=True)
