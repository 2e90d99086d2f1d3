"""A data set file with the columns of a result behind its own: what `add_to` of the tasks writes.

Where the output has the kind of the data set, what was there stays as it is: the bytes of a line of JSON or of a record
of a CSV, and the schema, its metadata, the compression and the row groups of a Parquet file.
"""

import csv
import datetime
import decimal
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.formats import Bytes, opened, packed
from vicinal.data.results import Columns, flat_cell, plain_values
from vicinal.data.writers import CsvLines, JsonLines, csv_records
from vicinal.errors import DataError, UsageError, some
from vicinal.storage import atomic
from vicinal.typing import PathLike

BATCH = 65_536


def check(rows: Dataset, path: PathLike) -> None:
    """Raise UsageError, before the work, where a data set with new columns is no file of this name's kind.

    Parameters
    ----------
    rows : Dataset
    path : path
        The file to write; whether it can be written is checked with the other outputs.
    """
    if rows.path is None and rows.table is None:
        raise UsageError(
            f"add_to: adds columns to a data set, but {rows.name} holds embeddings only; write the result with output "
            "(-o)"
        )
    tables.suffix(Path(path))


def write(rows: Dataset, result: Columns, path: PathLike, overwrite: bool, of_result: np.ndarray | None = None) -> None:
    """Write a data set with the columns of a result behind its own, as `write_arrow`."""
    columns = {f"{result.added_as}{name}": values for name, values in result.arrow_columns().items()}
    write_arrow(rows, columns, path, overwrite, of_result)


def write_arrow(
    rows: Dataset, columns: dict[str, Any], path: PathLike, overwrite: bool, of_result: np.ndarray | None = None
) -> None:
    """Write a data set with further columns behind its own; the file appears whole or not at all.

    Parameters
    ----------
    rows : Dataset
        The whole data set.
    columns : dict of str to pyarrow.Array
        One value a row of the data set, in its order.
    path : path
        `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet`.
    overwrite : bool
    of_result : ndarray of int64, optional
        The row number, in the data set, of each value, ascending; the other rows are left out. By default all.

    Raises
    ------
    UsageError
        The data set has a column of a name already, or the file exists.
    DataError
        A value of the data set cannot be written to a file of this kind.
    """
    kept = np.ones(len(rows), dtype=bool)
    if of_result is not None and len(of_result) < len(rows):
        kept[:] = False
        kept[of_result] = True
    kinds = tables.suffix(Path(path)), None if rows.path is None else tables.suffix(rows.path)
    with atomic.whole_file(path, overwrite) as file, packed(file, path) as target:
        if rows.path is None:
            _table(rows.table, columns, kept, target, kinds[0], path)
        elif kinds == (".parquet", ".parquet"):
            _parquet_to_parquet(rows.path, columns, kept, target)
        elif set(kinds) <= set(tables.LINES):
            _lines(rows.path, columns, kept, target)
        elif kinds == (".csv", ".csv"):
            _csv(rows.path, columns, kept, target)
        else:
            _other_kind(rows.path, columns, kept, target, kinds[0], path)


def _refuse_taken(names: Sequence[str], columns: dict[str, Any], place: object) -> None:
    taken = [name for name in columns if name in names]
    if taken:
        raise UsageError(
            f"add_to: {place} has columns {some(taken)} already; rename them there, or write the result to a file of "
            "its own with output (-o)"
        )


def _cells(columns: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield the new cells of each row, as JSON can hold them."""
    values = [
        plain_values(column.to_numpy(zero_copy_only=False)) if str(column.type) == "float" else column.to_pylist()
        for column in columns.values()
    ]
    return map(list, zip(*values, strict=True))


def _parquet_to_parquet(source: Path, columns: dict[str, Any], kept: np.ndarray, target: Bytes) -> None:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(source) as file:
        schema = file.schema_arrow
        _refuse_taken(schema.names, columns, source)
        for name, values in columns.items():
            schema = schema.append(pyarrow.field(name, values.type))
        groups = file.metadata.num_row_groups
        packed = file.metadata.row_group(0).column(0).compression.lower() if groups else "snappy"
        packing = {"uncompressed": "none"}.get(packed, packed)
        at, new = 0, 0
        with pyarrow.parquet.ParquetWriter(target, schema, compression=packing) as writer:
            for group in range(groups):
                table = file.read_row_group(group)
                left = kept[at : at + len(table)]
                at += len(table)
                table = table if left.all() else table.filter(pyarrow.array(left))
                for name, values in columns.items():
                    table = table.append_column(name, values.slice(new, len(table)))
                new += len(table)
                writer.write_table(table.cast(schema), row_group_size=max(1, len(table)))


def _lines(source: Path, columns: dict[str, Any], kept: np.ndarray, target: Bytes) -> None:
    cells = _cells(columns)
    with opened(source) as file:
        row = 0
        for line in file:
            if not line.strip():
                continue
            row += 1
            if not kept[row - 1]:
                continue
            text = line.rstrip()
            found = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
            _refuse_taken(list(found), columns, f"{source}, row {row - 1}")
            more = json.dumps(dict(zip(columns, next(cells), strict=True)), ensure_ascii=False, allow_nan=False)
            join = ", " if found and columns else ""
            target.write(text[:-1].rstrip() + join.encode() + more[1:].encode("utf-8") + b"\n")


def _csv(source: Path, columns: dict[str, Any], kept: np.ndarray, target: Bytes) -> None:
    cells = _cells(columns)
    with open(source, "rb") as file:
        for number, (found, raw) in enumerate(csv_records(source, file)):
            if number == 0:
                _refuse_taken(found, columns, source)
            elif not found or not kept[number - 1]:
                continue
            new: Sequence[Any] = list(columns) if number == 0 else [flat_cell(cell) for cell in next(cells)]
            end = raw[len(raw.rstrip(b"\r\n")) :] or b"\n"
            target.write(raw.rstrip(b"\r\n") + b"," + _csv_text(new).encode("utf-8") + end)


def _csv_text(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _other_kind(
    source: Path, columns: dict[str, Any], kept: np.ndarray, target: Bytes, kind: str, path: PathLike
) -> None:
    """Write the rows of a file as a file of another kind."""
    records = (row for place, (_, row) in enumerate(tables.read_rows(source)) if kept[place])
    _records(records, columns, target, kind, source, path)


def _table(table: Any, columns: dict[str, Any], kept: np.ndarray, target: Bytes, kind: str, path: PathLike) -> None:
    """Write the rows of a table in memory."""
    import pyarrow
    import pyarrow.parquet

    names = frames.column_names(table)
    _refuse_taken(names, columns, "the table")
    arrow = pyarrow.table({name: frames.column(table, name) for name in names}).filter(pyarrow.array(kept))
    if kind == ".parquet":
        for name, values in columns.items():
            arrow = arrow.append_column(name, values)
        pyarrow.parquet.write_table(arrow, target)
        return
    records = (row for batch in arrow.to_batches(BATCH) for row in batch.to_pylist())
    _records(records, columns, target, kind, "the table", path)


def _records(
    records: Iterator[dict[str, Any]], columns: dict[str, Any], target: Bytes, kind: str, source: object, path: PathLike
) -> None:
    whole = _joined(records, columns, source)
    if kind == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.Table.from_pylist(
                [{name: row[name] for name in row if name not in columns} for row in whole]
            )
        except pyarrow.ArrowException as error:
            raise DataError(f"{path}: the values of {source} are of several types ({error}); write .jsonl") from None
        for name, values in columns.items():
            table = table.append_column(name, values)
        pyarrow.parquet.write_table(table, target)
        return
    if kind == ".csv":
        with CsvLines(target) as lines:
            for record in whole:
                lines.add({name: flat_cell(_json_value(cell, name, path)) for name, cell in record.items()})
        return
    json_lines = JsonLines(target)
    for record in whole:
        json_lines.add({name: _json_value(cell, name, path) for name, cell in record.items()})


def _joined(records: Iterator[dict[str, Any]], columns: dict[str, Any], source: object) -> Iterator[dict[str, Any]]:
    cells = _cells(columns)
    for record in records:
        _refuse_taken(list(record), columns, source)
        yield {**record, **dict(zip(columns, next(cells), strict=True))}


def _json_value(value: Any, name: str, path: PathLike) -> Any:
    """A value as JSON can hold it: dates and decimals as text."""
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | decimal.Decimal):
        return str(value)
    if isinstance(value, dict):
        return {key: _json_value(one, name, path) for key, one in value.items()}
    if isinstance(value, list):
        return [_json_value(one, name, path) for one in value]
    if isinstance(value, bytes):
        raise DataError(f"{path}: column {name!r} holds bytes, which this kind of file cannot; write .parquet")
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
