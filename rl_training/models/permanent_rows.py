"""Permanent rows: they are inserted, and nothing changes or removes them."""

from typing import Any, NoReturn, TypeVar

from django.db import models

Row = TypeVar("Row", bound="PermanentRow")


class PermanentRowError(Exception):
    """A permanent row cannot be changed or removed. Corrections are further rows."""


class PermanentQuerySet(models.QuerySet[Row]):
    def update(self, **_: Any) -> NoReturn:
        """Raise `PermanentRowError`."""
        raise PermanentRowError(f"{self.model._meta.verbose_name_plural} are never changed")

    def delete(self) -> NoReturn:
        """Raise `PermanentRowError`."""
        raise PermanentRowError(f"{self.model._meta.verbose_name_plural} are never removed")


class PermanentRow(models.Model):
    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the row. Raises `PermanentRowError` for a row that is stored already."""
        if not self._state.adding:
            raise PermanentRowError(f"{self._meta.verbose_name_plural} are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `PermanentRowError`."""
        raise PermanentRowError(f"{self._meta.verbose_name_plural} are never removed")
