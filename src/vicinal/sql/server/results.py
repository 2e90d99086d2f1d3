"""Rows as YDB's result sets, whole or in parts."""

from collections.abc import Iterator
from typing import Any

from vicinal.sql.rows import Rows
from vicinal.sql.server import limits
from vicinal.sql.server.messages import ydb_value_pb2
from vicinal.sql.server.values import fill_rows, type_message

_CHUNK = 100  # rows between two looks at the size of a part


def fill_columns(result: Any, rows: Rows) -> None:
    """Adds the columns of rows to a ResultSet."""
    for place, (name, kind) in enumerate(zip(rows.columns, rows.kinds, strict=True)):
        gaps = kind.item is not None and any(_has_gap(row[place]) for row in rows)
        result.columns.add(name=name).type.CopyFrom(type_message(kind, optional=True, gaps=gaps))


def _has_gap(value: Any) -> bool:
    """Whether a list has NULL in it, at any depth."""
    return isinstance(value, list) and any(one is None or _has_gap(one) for one in value)


def result_set(rows: Rows, most: int) -> Any:
    """Rows as one ResultSet, cut off after `most`."""
    result = ydb_value_pb2.ResultSet()
    fill_columns(result, rows)
    fill_rows(result, (rows[number] for number in range(most)) if len(rows) > most else rows, rows.kinds)
    result.truncated = len(rows) > most
    return result


def parts(rows: Rows, size: int = 0, most: int = 0, always: bool = True) -> Iterator[Any]:
    """Rows as ResultSets of about `size` bytes and at most `most` rows; the first comes even where there are none.

    always : whether each has the columns, not the first alone
    """
    size = size or limits.PART
    result, count = ydb_value_pb2.ResultSet(), 0
    fill_columns(result, rows)
    pending: list[Any] = []
    step = min(_CHUNK, most) if most else _CHUNK
    for row in rows:
        pending.append(row)
        if len(pending) < step:
            continue
        fill_rows(result, pending, rows.kinds)
        count += len(pending)
        pending.clear()
        if (most and count + step > most) or result.ByteSize() >= size:
            yield result
            result, count = ydb_value_pb2.ResultSet(), 0
            if always:
                fill_columns(result, rows)
    fill_rows(result, pending, rows.kinds)
    if pending or count or result.columns:
        yield result


def arrow_parts(rows: Rows, always: bool) -> Iterator[Any]:
    """Rows as ResultSets of Arrow's record batches."""
    table = rows.arrow()
    schema = table.schema.serialize().to_pybytes()
    batches = table.to_batches(max_chunksize=10_000) or [None]
    for number, batch in enumerate(batches):
        result = ydb_value_pb2.ResultSet(format=ydb_value_pb2.ResultSet.FORMAT_ARROW)
        fill_columns(result, rows)
        if always or not number:
            result.arrow_format_meta.schema = schema
        if batch is not None:
            result.data = batch.serialize().to_pybytes()
        yield result
