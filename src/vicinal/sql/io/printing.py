"""Rows as the command prints them: tables, or JSON."""

import base64
import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from vicinal.layout import grid
from vicinal.sql.types import FLOAT, Type

CELL = 60  # characters of a cell where the width of the output is not known


def shown(value: Any, kind: Type) -> str:
    r"""A value in a table: bytes that are not text as a quoted string with escapes, the shortest form of a number.

    >>> shown(b"\x01\xfe", Type("String")), shown(0.1, FLOAT), shown(2.0, Type("Double")), shown(None, FLOAT)
    ('"\\x01\\xfe"', '0.1', '2', 'NULL')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = _text(value)
        return '"' + repr(value)[2:-1].replace('"', '\\"') + '"' if text is None else text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        number = str(np.float32(value)) if kind == FLOAT else repr(value)
        return number.removesuffix(".0")
    if isinstance(value, dict):
        members = (f"{name}: {shown(one, kind.member(name) or kind)}" for name, one in value.items())
        return f"<|{', '.join(members)}|>"
    if isinstance(value, list):
        return "[" + ", ".join(shown(one, kind.item or kind) for one in value) + "]"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds" if kind.name == "Datetime" else "microseconds") + "Z"
    return value.isoformat() if isinstance(value, date) else str(value)


def _text(value: bytes) -> str | None:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def plain(value: Any, kind: Type) -> Any:
    """A value for JSON: bytes that are not text as `{"base64": ...}`, the shortest form of a Float.

    >>> plain(b"\\x01", Type("String")), plain(b"a", Type("String"))
    ({'base64': 'AQ=='}, 'a')
    """
    if isinstance(value, bytes):
        text = _text(value)
        return {"base64": base64.b64encode(value).decode("ascii")} if text is None else text
    if isinstance(value, float):
        if not np.isfinite(value):
            return str(value)
        return float(str(np.float32(value))) if kind == FLOAT else value
    if isinstance(value, dict):
        return {name: plain(one, kind.member(name) or kind) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one, kind.item or kind) for one in value]
    if isinstance(value, datetime | date | timedelta | Decimal | UUID):
        return shown(value, kind)
    return value


def printed(answers: Iterable[Any], form: str, width: int | None = None, colour: bool = False) -> Iterable[str]:
    """The lines of several SELECTs' rows: JSON, or tables with an empty line between them.

    width  : cells of a terminal's line; without it, a table is as wide as its cells are
    colour : whether names and numbers are styled
    """
    for number, rows in enumerate(answers):
        if number and form == "table":
            yield ""
        yield from as_json(rows) if form == "json" else as_table(rows, width, colour)


def as_json(rows: Any) -> Iterable[str]:
    """Each row as a JSON object; of columns with equal names it holds the last."""
    for row in rows:
        record = {name: plain(value, kind) for name, value, kind in zip(rows.columns, row, rows.kinds, strict=True)}
        yield json.dumps(record, ensure_ascii=False)


def as_table(rows: Any, width: int | None = None, colour: bool = False) -> Iterable[str]:
    """The rows under a line of names, in columns; a cell of more than 60 characters is cut, and in a terminal all text.

    Numbers are never cut. Where they do not fit beside each other in a terminal, each row is a block of lines.
    """
    cells = [[shown(value, kind) for value, kind in zip(row, rows.kinds, strict=True)] for row in rows]
    cells = [[_cut(cell, CELL if width is None else width) for cell in line] for line in cells]
    right = [bool(kind.numeric) for kind in rows.kinds]
    names = [_cut(name, CELL) for name in rows.columns]
    return grid(names, cells, [not one for one in right], width, colour, right=right)


def _cut(cell: str, width: int) -> str:
    cell = cell.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if not cell.isprintable():  # nothing that the terminal would obey
        cell = "".join(one if one.isprintable() else repr(one)[1:-1] for one in cell)
    return cell if len(cell) <= width else cell[: width - 3] + "..."
