"""Data sets and tables in files, read (`readers`) and written (`writers`), by the ending of their name (`formats`)."""

from vicinal.data.formats import LINES, SUFFIXES, suffix
from vicinal.data.readers import checked_value, numbered, read_columns, read_ids, read_rows
from vicinal.data.writers import CsvLines, JsonLines, Parquet, Table, check_table, copy_rows, table_writer

__all__ = [
    "LINES",
    "SUFFIXES",
    "CsvLines",
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
    "suffix",
    "table_writer",
]
