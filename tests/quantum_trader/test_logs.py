import json
import logging.config
from collections.abc import Iterator

import pytest
import structlog
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from django.core.exceptions import ImproperlyConfigured

from quantum_trader import logs

log = structlog.get_logger("rl_training.test")


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The lines that the console handler writes, in the format that the test is parametrised with."""
    captured: list[str] = []
    config = logs.logging_config(getattr(request, "param", "console"), "INFO")
    formatter = logging.config.DictConfigurator(config).configure_formatter(config["formatters"]["structlog"])

    class Capture(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            captured.append(formatter.format(record))

    handler = Capture()
    logging.getLogger().addHandler(handler)
    yield captured
    logging.getLogger().removeHandler(handler)


def test_line_about_run_starts_with_its_context(lines):
    log.info("Starting scheduled run", run_id="4f1c09ab77de", policy="rl_v3")
    assert lines[-1].startswith("[RLv3][TRAINING][RUN_ID=4f1c09ab77de] Starting scheduled run policy=rl_v3 timestamp=")


def test_line_about_episode_names_it_after_the_run(lines):
    log.info("Episode complete", run_id="4f1c09ab77de", episode="1/2")
    assert lines[-1].startswith("[RLv3][TRAINING][RUN_ID=4f1c09ab77de][episode=1/2] Episode complete timestamp=")


def test_line_without_run_has_only_the_common_context(lines):
    log.info("Config updated: enabled=True, interval=60min, episodes=2")
    assert lines[-1].startswith("[RLv3][TRAINING] Config updated: enabled=True, interval=60min, episodes=2 timestamp=")


def test_warning_has_its_level_and_escaped_control_characters(lines):
    log.warning("odd", error="a\nb\x1b[31m")
    assert lines[-1].startswith("[RLv3][TRAINING] odd error=a\\nb\\x1b[31m level=warning timestamp=")


def test_traceback_has_escaped_control_characters(lines):
    try:
        raise ValueError("first\nsecond\x1b]0;title\x07")
    except ValueError:
        log.exception("odd")
    assert lines[-1].splitlines()[-2:] == ["ValueError: first", "second\\x1b]0;title\\x07"]


def test_lines_of_libraries_name_their_logger(lines):
    logging.getLogger("celery.worker").info("ready with %s", "rl_v3")
    assert lines[-1].startswith("celery.worker: ready with rl_v3 timestamp=")


@pytest.mark.parametrize("lines", ["json"], indirect=True)
def test_json_line_has_the_same_keys(lines):
    log.info("Episode complete", run_id="4f1c09ab77de", episode="1/2")
    entry = json.loads(lines[-1])
    del entry["timestamp"]
    assert entry == {
        "event": "Episode complete",
        "run_id": "4f1c09ab77de",
        "episode": "1/2",
        "logger": "rl_training.test",
        "level": "info",
    }


def test_unknown_log_format_is_refused_with_the_known_ones():
    with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT is 'xml'; it must be one of: console, json"):
        logs.logging_config("xml", "INFO")


@pytest.mark.parametrize(
    ("end", "line"),
    [
        ("signal 15 (SIGTERM)", "celery.worker.request: A process of the pool was stopped: {end} timestamp="),
        ("exitcode 0", "celery.worker.request: A process of the pool was stopped: {end} timestamp="),
        (
            "signal 9 (SIGKILL)",
            "celery.worker.request: Task handler raised error: WorkerLostError('{end}') level=error",
        ),
    ],
)
def test_ended_pool_process_is_one_line_and_no_error_when_stopped(end, line, lines):
    try:
        raise WorkerLostError(end)
    except WorkerLostError as error:
        wrapped = ExceptionInfo().exc_info
        logging.getLogger("celery.worker.request").error("Task handler raised error: %r", error, exc_info=wrapped)
    assert lines[-1].startswith(line.format(end=end))
    assert "Traceback" not in lines[-1]


def test_other_error_of_a_task_keeps_its_traceback(lines):
    try:
        raise ValueError("no bars")
    except ValueError as error:
        logging.getLogger("celery.worker.request").error("Task handler raised error: %r", error, exc_info=True)
    assert "level=error" in lines[-1]
    assert "Traceback" in lines[-1]


@pytest.mark.parametrize(
    ("path", "status", "logged"),
    [("/runs/?page=2", 200, True), ("/healthz", 200, False), ("/readyz", 503, True), ("/static/a.css", 200, False)],
)
def test_request_is_logged_unless_a_monitor_made_it(path, status, logged):
    record = logging.makeLogRecord({"args": ("192.0.2.1:5000", "GET", path, "1.1", status)})
    assert logs.is_worth_a_line(record) is logged
