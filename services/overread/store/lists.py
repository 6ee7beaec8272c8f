"""A list of words as one parameter, however long it is.

A parameter for each word makes a statement of a new length for each list: the driver takes it apart anew, the server
plans it anew, and for a few hundred words that costs more than the rows themselves.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class _Words(GenericFunction[str]):
    """A JSON array of words as rows of one column, `value`, which both databases give it."""

    type = String()
    inherit_cache = True


@compiles(_Words, "sqlite")
def _on_sqlite(element: _Words, compiler: SQLCompiler, **more: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **more)})"


@compiles(_Words, "postgresql")
def _on_postgresql(element: _Words, compiler: SQLCompiler, **more: Any) -> str:
    return f"jsonb_array_elements_text(CAST({compiler.process(element.clauses, **more)} AS jsonb))"


def each(words: Collection[str]) -> ColumnElement[str]:
    """Return a column with a row for each word; what is selected from it is a row for each, too."""
    # PostgreSQL's text has no NUL; what it keeps of a word with one is the same word with this in its place.
    mended = [word.replace("\0", "\ufffd") for word in words]
    value: ColumnElement[str] = _Words(bindparam(None, json.dumps(mended), String)).table_valued("value").c.value
    return value


def listed(words: Collection[str]) -> Select[tuple[str]]:
    """Return the words as a query, for `IN`."""
    return select(each(words))
