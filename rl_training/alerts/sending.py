"""The way out: one message to one address, through apprise. Nothing that is said on the way shows the address."""

import logging
import re
import threading

# Those of apprise and of what it sends with: they say addresses, paths with tokens in them, and contents.
TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "paho", "slixmpp")
STATUS = re.compile(r"\berror=(\d{3})\b")


class Said(logging.Handler):
    """Keeps what apprise warns of in this thread, for its outcome to be recognised; writes it nowhere."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


def send(address: str, title: str, body: str, *, good: bool = False) -> str:
    """Send a message; returns why it was not sent, empty when it was. Raises nothing that holds the address."""
    # Takes 45 MB: only the process that sends has it, from its first message on.
    import apprise

    silence()
    said = Said()
    logging.getLogger("apprise").addHandler(said)
    try:
        service = apprise.Apprise.instantiate(address, asset=apprise.AppriseAsset(app_id="Quantum trader"))
        if service is None:
            return "the address is not one that apprise knows; see its list of services"
        kind = apprise.NotifyType.SUCCESS if good else apprise.NotifyType.WARNING
        sent = service.notify(body=body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
        return "" if sent else _reason(said.lines)
    except Exception as error:
        # A service's plugin may raise anything, with the address in its text.
        return f"sending ended in {type(error).__name__}"
    finally:
        logging.getLogger("apprise").removeHandler(said)


def silence() -> None:
    """Keep the loggers that know addresses from writing, whatever LOG_LEVEL is."""
    for name in TALKATIVE:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            logger.addHandler(logging.NullHandler())


def _reason(lines: list[str]) -> str:
    """In words of our own: a warning may hold a part of the address."""
    text = "\n".join(lines)
    if status := STATUS.search(text):
        return f"the service answered {status[1]}"
    return "the service cannot be reached" if "onnection" in text else "the service did not take the message"
