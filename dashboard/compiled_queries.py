"""Frequent queries whose SQL is compiled once, because compiling it takes longer than running it.

This module uses Django's SQL compiler, which is not public. `python -m benchmarks.service --only summary` allows a 95th
percentile of 25 ms at 1,000,000 runs with 8 clients. The load of that benchmark on 2 cores that other work
shared, alternating in one run, medians of 5 rounds of 5 seconds:

    token and summary  processor time of web per request    median    95th percentile
    compiled queries   2.5 ms                                70 ms     118 ms
    plain querysets    6.6 ms                               154 ms     244 ms

Compiled queries took 12 ms (95th percentile) on the same cores without other work. Scaled by the processor time, plain
querysets need 32 ms there, scaled by the 95th percentile 25 ms: plain querysets do not keep the limit.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler

# The placeholder of the value while the SQL is compiled. No other parameter of a query equals it.
VALUE = "\N{REPLACEMENT CHARACTER}"


class CompiledQuery:
    """A query by one text value, whose SQL is compiled once and whose rows are read from the database each time.

    `query` returns the queryset of dictionaries (`values`) for a value, which its conditions must contain unchanged.
    """

    def __init__(self, query: Callable[[str], QuerySet[Any, dict[str, Any]]]) -> None:
        self._query = query

    def rows(self, value: str) -> list[dict[str, Any]]:
        """Return the same as `list(query(value))`."""
        compiler, sql, parameters, converters = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, [value if parameter == VALUE else parameter for parameter in parameters])
            rows = cursor.fetchall()
        if converters:
            rows = compiler.apply_converters(rows, converters)
        return [dict(zip(compiler.query.selected or (), row, strict=True)) for row in rows]

    @cached_property
    def _compiled(self) -> tuple[SQLCompiler, str, tuple[Any, ...], dict[int, Any]]:
        compiler = self._query(VALUE).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        converters = compiler.get_converters([expression for expression, _, _ in compiler.select])
        return compiler, sql, tuple(parameters), converters
