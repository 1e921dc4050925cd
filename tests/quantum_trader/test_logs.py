import json
import logging.config
from collections.abc import Iterator

import pytest
import structlog
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
    with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT is 'xml'; it is one of: console, json"):
        logs.logging_config("xml", "INFO")
