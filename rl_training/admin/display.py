"""Stored values as the admin shows them. Markup in a value is escaped."""

import json
from collections.abc import Callable
from datetime import UTC
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from quantum_trader.text import encodable
from rl_training.models import TrainingRun

EMPTY = "-"


def preformatted(text: str) -> str | SafeString:
    """Return the text with its line breaks, escaped. It can be focused, so that the keyboard scrolls it."""
    return format_html('<pre class="stored-text" tabindex="0">{}</pre>', encodable(text)) if text else EMPTY


def pretty_json(value: Any) -> str | SafeString:
    """Return the value as indented JSON, escaped."""
    return EMPTY if value is None else preformatted(json.dumps(value, indent=2, ensure_ascii=False))


def admin_link(model: str, pk: int, text: str) -> SafeString:
    """Return a link to the admin page of a row of this app."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:rl_training_{model}_change", args=[pk]), text)


def run_link(run: TrainingRun) -> SafeString:
    return admin_link("trainingrun", run.pk, run.run_id)


def flower_link(run: TrainingRun) -> SafeString:
    """Return a link to the run's task in Flower, whose id is the run's id."""
    url = f"{settings.FLOWER_URL.rstrip('/')}/task/{run.run_id}"
    return format_html('<a href="{}" rel="noreferrer">in Flower</a>', url)


def outcome(status: str, label: str, title: str = "") -> SafeString:
    return format_html('<span class="outcome {}" title="{}">{}</span>', status, title, label)


def time_column(name: str, description: str | None = None) -> Callable[[Any, Any], str]:
    """Return a column that shows the time `name` to the second, in UTC."""

    @admin.display(description=description or name.replace("_", " "), ordering=name)
    def column(_: Any, row: Any) -> str:
        time = getattr(row, name)
        return EMPTY if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

    return column


def number_column(name: str, description: str | None = None) -> Callable[[Any, Any], str]:
    """Return a column that shows the number `name` with four significant digits."""

    @admin.display(description=description or name.replace("_", " "), ordering=name)
    def column(_: Any, row: Any) -> str:
        value = getattr(row, name)
        return EMPTY if value is None else f"{value:,.4g}"

    return column


def percent_column(name: str, description: str | None = None) -> Callable[[Any, Any], str]:
    """Return a column that shows the share `name` as a percentage."""

    @admin.display(description=description or name.replace("_", " "), ordering=name)
    def column(_: Any, row: Any) -> str:
        value = getattr(row, name)
        return EMPTY if value is None else f"{100 * value:,.2f} %"

    return column
