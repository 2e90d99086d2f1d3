"""Data sets and tables in files, read (`readers`) and written (`writers`), by the ending of their name (`formats`)."""

from pathlib import Path

from vicinal.data.formats import LINES, SUFFIXES, Id, suffix
from vicinal.data.readers import checked_value, numbered, read_columns, read_ids, read_rows
from vicinal.data.writers import CsvLines, JsonLines, Parquet, Table, check_table, copy_rows, table_writer
from vicinal.errors import DataError

__all__ = [
    "LINES",
    "SUFFIXES",
    "CsvLines",
    "Id",
    "JsonLines",
    "Parquet",
    "Table",
    "check_table",
    "checked_value",
    "copy_rows",
    "numbered",
    "read_columns",
    "read_ids",
    "read_rows",
    "refuse_other_count",
    "suffix",
    "table_writer",
]


def refuse_other_count(data: str | Path, n: int, source: object, found: int) -> None:
    """Raise DataError where what belongs to a data set's n rows has another number of rows."""
    if found != n:
        raise DataError(
            f"{data} has {n} rows, but {source} has {found}; each row of the data set needs one row there, in the same "
            "order"
        )
