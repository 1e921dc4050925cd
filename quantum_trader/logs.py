"""Logging: structlog formats the project's own lines and the lines of its libraries."""

import logging.config
from collections.abc import MutableMapping
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

EventDict = MutableMapping[str, Any]


def training_prefix(logger: Any, method: str, event: EventDict) -> EventDict:
    """Put the context before a line about training: `[RLv3][TRAINING][RUN_ID=4f1c09ab77de][episode=1/2] ...`."""
    if not str(event.get("logger", "")).startswith("rl_training"):
        return event
    context = "[RLv3][TRAINING]"
    if "run_id" in event:
        context += f"[RUN_ID={event.pop('run_id')}]"
    if "episode" in event:
        context += f"[episode={event.pop('episode')}]"
    event["event"] = f"{context} {event['event']}"
    return event


class ConsoleRenderer:
    """Renders `message key=value ...`; the level (unless it is info) and the timestamp come last."""

    def __init__(self) -> None:
        self._pairs = structlog.processors.KeyValueRenderer(repr_native_str=False)

    def __call__(self, logger: Any, method: str, event: EventDict) -> str:
        message, level = str(event.pop("event")), str(event.pop("level", "info"))
        name, exception = str(event.pop("logger", "")), event.pop("exception", None)
        timestamp = event.pop("timestamp", None)
        line = message if name.startswith("rl_training") else f"{name}: {message}"
        if level != "info":
            event["level"] = level
        if timestamp:
            event["timestamp"] = timestamp
        pairs = str(self._pairs(logger, method, event))
        line = escape_control_characters(f"{line} {pairs}".rstrip())
        traceback = [escape_control_characters(part) for part in str(exception).split("\n")] if exception else []
        return "\n".join([line, *traceback])


def escape_control_characters(text: str) -> str:
    """Escape control characters, so that one event is one line and stored text cannot control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten_lost_process(record: logging.LogRecord) -> bool:
    """Remove the traceback from Celery's line about a pool process that ended: it shows only code of Celery.

    A process that SIGTERM ended has released its run, so its end is no error.
    """
    # The error is the line's argument; `exc_info` holds a copy that billiard has wrapped.
    error = record.args[0] if isinstance(record.args, tuple) and record.args else None
    if type(error).__name__ == "WorkerLostError":
        record.exc_info = record.exc_text = None
        if any(end in str(error) for end in ("SIGTERM", "exitcode 0")):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args = "A process of the pool was stopped: %s", (str(error),)
    return True


# Monitors and load balancers ask for these every few seconds.
POLLED = ("/healthz", "/readyz", "/metrics")


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return whether a request is logged. Answers with status 200 to monitors and for static files are not."""
    if not isinstance(record.args, tuple) or len(record.args) != 5:
        return True
    _, _, path, _, status = record.args
    return status != 200 or not str(path).startswith((*POLLED, "/static/"))


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
RENDERERS: dict[str, list[Any]] = {
    "console": [training_prefix, ConsoleRenderer()],
    "json": [structlog.processors.JSONRenderer()],
}


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """Return Django's LOGGING. `log_format` is "console" or "json".

    Raises `ImproperlyConfigured` for another format and for an unknown level.
    """
    if log_format not in RENDERERS:
        raise ImproperlyConfigured(f"LOG_FORMAT is {log_format!r}; it must be one of: {', '.join(RENDERERS)}.")
    if level not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(f"LOG_LEVEL is {level!r}; it must be one of: DEBUG, INFO, WARNING, ERROR, CRITICAL.")
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": SHARED,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *RENDERERS[log_format]],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structlog": formatter},
        "filters": {
            "lost_process": {"()": "django.utils.log.CallbackFilter", "callback": shorten_lost_process},
            "requests": {"()": "django.utils.log.CallbackFilter", "callback": is_worth_a_line},
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structlog"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            "celery.worker.request": {"filters": ["lost_process"]},
            # Each line names the client's address, the request and its status.
            "uvicorn.access": {"filters": ["requests"]},
            # Flower queries the worker when it starts and warns four times while the worker is still starting.
            "flower.inspector": {"level": "ERROR"},
        },
    }


def configure(config: dict[str, Any]) -> None:
    """Configure the standard library's logging and structlog. Django calls it as LOGGING_CONFIG."""
    logging.config.dictConfig(config)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
