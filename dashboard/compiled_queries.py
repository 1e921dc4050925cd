"""Queries that are asked so often that writing their SQL anew each time takes longer than the database does."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler

# Stands for the value where the SQL is written; equal to nothing else in a query.
VALUE = "\N{REPLACEMENT CHARACTER}"


class CompiledQuery:
    """A query by one text value. Its SQL is written once; its rows are read from the database each time.

    `query` makes a queryset of dicts (`values`) whose conditions hold the text that it is given.
    """

    def __init__(self, query: Callable[[str], QuerySet[Any, dict[str, Any]]]) -> None:
        self._query = query

    def rows(self, value: str) -> list[dict[str, Any]]:
        """What `list(query(value))` is."""
        compiler, sql, parameters, converters = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, [value if parameter == VALUE else parameter for parameter in parameters])
            rows = cursor.fetchall()
        if converters:
            rows = compiler.apply_converters(rows, converters)
        return [dict(zip(compiler.query.values_select, row, strict=True)) for row in rows]

    @cached_property
    def _compiled(self) -> tuple[SQLCompiler, str, tuple[Any, ...], dict[int, Any]]:
        compiler = self._query(VALUE).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        converters = compiler.get_converters([expression for expression, _, _ in compiler.select])
        return compiler, sql, tuple(parameters), converters
