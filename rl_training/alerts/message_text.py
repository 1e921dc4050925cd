"""The text of the messages that channels receive."""

from collections.abc import Sequence

from rl_training.alerts.models import Alert, AlertMessage

# A message on a telephone is not read further.
MOST_LISTED = 20


def compose(messages: Sequence[AlertMessage]) -> tuple[str, str]:
    """Return the title and the body of one notification about these messages."""
    if len(messages) == 1:
        return _headline(messages[0]), _body(messages[0])
    listed = [f"{_headline(message)}\n{_body(message)}" for message in messages[:MOST_LISTED]]
    more = len(messages) - len(listed)
    return f"{len(messages)} alert messages", "\n\n".join(listed + ([f"... and {more} more"] if more else []))


def _headline(message: AlertMessage) -> str:
    prefix = "Resolved: " if message.event == AlertMessage.Event.RESOLVED else ""
    return f"{prefix}{_subject(message.alert)}"


def _subject(alert: Alert) -> str:
    return f"{alert.policy.name if alert.policy else 'system'}: {alert.get_kind_display()}"


def _body(message: AlertMessage) -> str:
    alert = message.alert
    if message.event == AlertMessage.Event.OPENED or alert.resolved_at is None:
        return alert.message
    minutes = (alert.resolved_at - alert.opened_at).total_seconds() / 60
    return f"It lasted {minutes:,.0f} min. It began with: {alert.message}"
