"""Sending of messages to the recipients that apprise URLs name. No log line and no error contains a URL."""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rl_training.alerts import encryption
from rl_training.core import outgoing

# apprise and the libraries that it sends with write URLs, paths with tokens and message contents into their logs.
LOGGERS_WITH_SECRETS = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "paho", "slixmpp")
STATUS = re.compile(r"\berror=(\d{3})\b")
# A new URL begins where a scheme follows spaces or a comma.
SEPARATOR = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
# The attributes in which apprise's services keep the targets that one URL names.
TARGET_LISTS = ("targets", "topics", "channels", "users", "rooms")


class WarningsOfThread(logging.Handler):
    """Collects apprise's warnings of this thread, which say why a message was not sent, and writes no log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


@dataclass(frozen=True)
class Recipient:
    """One recipient of a channel: `fingerprint` names it without its secrets, `service` is apprise's object or None."""

    fingerprint: str
    service: Any

    def send(self, title: str, body: str, *, good: bool = False) -> str:
        """Send a message to this recipient; return why it was not sent, empty when it was.

        `good` selects apprise's style for good news. Raises no exception, because its text might contain the URL.
        """
        # apprise takes 45 MB, so a process imports it only to send its first message or to check a channel that a user
        # saves.
        import apprise

        if self.service is None:
            return "apprise does not know the address; see apprise's list of services"
        kind = apprise.NotifyType.SUCCESS if good else apprise.NotifyType.WARNING
        warnings = WarningsOfThread()
        logging.getLogger("apprise").addHandler(warnings)
        try:
            with outgoing.guarded() as guard:
                text = apprise.NotifyFormat.TEXT
                sent = self.service.notify(body=body, title=title, notify_type=kind, body_format=text)
            if not sent and guard.refused:
                return outgoing.REFUSED
            return "" if sent else _reason(warnings.lines)
        except Exception as error:
            # A service's plugin may raise any exception, with the URL in its text.
            return f"sending ended in {type(error).__name__}"
        finally:
            logging.getLogger("apprise").removeHandler(warnings)


def recipients(address: str) -> list[Recipient]:
    """Return the recipients that one or several apprise URLs name, each once, in their order."""
    silence_loggers()
    found = {}
    for url in split(address):
        for target, service in _services(url):
            fingerprint = encryption.fingerprint(f"{url}\0{target}")
            found[fingerprint] = Recipient(fingerprint, service)
    return list(found.values())


def unknown_services(address: str) -> list[str]:
    """Return the service names of the apprise URLs that apprise cannot send to."""
    silence_loggers()
    return [url.partition("://")[0] for url in split(address) if _instantiate(url) is None]


def describe(problems: Sequence[str]) -> str:
    """Return one text for the problems of all recipients. The problem of a reached recipient is empty."""
    failed = [problem for problem in problems if problem]
    if not failed or len(problems) == 1:
        return failed[0] if failed else ""
    return f"{len(failed)} of {len(problems)} recipients: {', '.join(dict.fromkeys(failed))}"


def split(address: str) -> list[str]:
    """Return the apprise URLs in a text that separates them by spaces or commas."""
    return SEPARATOR.split(address.strip())


def _services(url: str) -> Iterator[tuple[str, Any]]:
    """Yield each target of the URL as text, with an apprise object that sends to this target only.

    A service without a list of targets, or one that sends to several targets with one request, is one recipient.
    """
    whole = _instantiate(url)
    lists = ((name, getattr(whole, name, None)) for name in TARGET_LISTS)
    name, targets = next(((n, found) for n, found in lists if isinstance(found, list) and len(found) > 1), ("", []))
    if not name or len(whole) != len(targets):
        yield "", whole
        return
    for target in targets:
        service = _instantiate(url)
        setattr(service, name, [target])
        yield repr(target), service


def _instantiate(url: str) -> Any:
    import apprise  # see Recipient.send

    try:
        return apprise.Apprise.instantiate(url, asset=apprise.AppriseAsset(app_id="Quantum trader"))
    except Exception:
        # A service's plugin may raise any exception, with the URL in its text.
        return None


def silence_loggers() -> None:
    """Keep the loggers that know URLs from writing, at any LOG_LEVEL."""
    for name in LOGGERS_WITH_SECRETS:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            logger.addHandler(logging.NullHandler())


def _reason(lines: list[str]) -> str:
    """Describe the failure without quoting the warnings, which may contain parts of the URL."""
    text = "\n".join(lines)
    if status := STATUS.search(text):
        return f"the service answered {status[1]}"
    return "the service cannot be reached" if "onnection" in text else "the service did not take the message"
