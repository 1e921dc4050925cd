"""Sending one message to one apprise URL. No log line and no error on the way contains the URL."""

import logging
import re
import threading

# apprise and the libraries that it sends with write URLs, paths with tokens and message contents into their logs.
LOGGERS_WITH_SECRETS = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "paho", "slixmpp")
STATUS = re.compile(r"\berror=(\d{3})\b")


class WarningsOfThread(logging.Handler):
    """Keeps the warnings that apprise logs in this thread, which tell why a message was not sent; writes none out."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


def send(address: str, title: str, body: str, *, good: bool = False) -> str:
    """Send a message to an apprise URL; return why it was not sent, empty when it was.

    `good` selects apprise's style for good news. Raises no exception, because its text might contain the URL.
    """
    # apprise takes 45 MB: only the process that sends messages imports it, with its first message.
    import apprise

    silence_loggers()
    warnings = WarningsOfThread()
    logging.getLogger("apprise").addHandler(warnings)
    try:
        service = apprise.Apprise.instantiate(address, asset=apprise.AppriseAsset(app_id="Quantum trader"))
        if service is None:
            return "the address is not one that apprise knows; see its list of services"
        kind = apprise.NotifyType.SUCCESS if good else apprise.NotifyType.WARNING
        sent = service.notify(body=body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
        return "" if sent else _reason(warnings.lines)
    except Exception as error:
        # A service's plugin may raise any exception, with the URL in its text.
        return f"sending ended in {type(error).__name__}"
    finally:
        logging.getLogger("apprise").removeHandler(warnings)


def silence_loggers() -> None:
    """Keep the loggers that know URLs from writing, whatever LOG_LEVEL is."""
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
