"""Exact nearest-neighbour search in SQL: the statements of YDB's module Knn on an embedded database.

>>> db = connect(":memory:")
>>> rows = db.execute('''
...     CREATE TABLE Facts (id Uint64, user Utf8, embedding String, PRIMARY KEY (id));
...     UPSERT INTO Facts (id, user, embedding) VALUES
...         (1, "Williams", Knn::ToBinaryString([1.0f, 2.0f])), (2, "Smith", Knn::ToBinaryString([2.0f, 1.0f]));
...     SELECT id, user FROM Facts ORDER BY Knn::CosineDistance(embedding, $q) LIMIT 1
... ''', {"$q": [3.0, 1.0]})
>>> list(rows), rows.columns
([(2, 'Smith')], ['id', 'user'])
>>> db.close()

The package, each part importing those before it alone:

    faults, types, catalog    errors; YQL's types; tables as YQL sees them
    vectors/                  byte strings, their distances, trees: no SQL
    parse/                    a text as statements
    compile/                  statements as nodes of DuckDB's SQL
    engine/                   nodes on DuckDB: connection, schema, indexes, many targets in one pass
    database                  `Database`
    io/                       files in and out, rows as printed
    ydb/                      the statements on a YDB cluster
    server/, serving          the database for YDB's clients
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vicinal.sql.database import Database
    from vicinal.sql.duck import install
    from vicinal.sql.faults import SqlError
    from vicinal.sql.io.exporting import export_table
    from vicinal.sql.io.importing import import_table
    from vicinal.sql.rows import Rows
    from vicinal.sql.serving import serve
    from vicinal.sql.ydb.remote import Remote
    from vicinal.sql.ydb.translate import to_ydb

# Where each name is defined; imported when it is first used, because they need the packages of the extra.
_HOMES = {
    "Database": "database",
    "Remote": "ydb.remote",
    "Rows": "rows",
    "SqlError": "faults",
    "export_table": "io.exporting",
    "import_table": "io.importing",
    "install": "duck",
    "serve": "serving",
    "to_ydb": "ydb.translate",
}
__all__ = [
    "Database",
    "Remote",
    "Rows",
    "SqlError",
    "connect",
    "export_table",
    "import_table",
    "install",
    "serve",
    "to_ydb",
]


def connect(
    path: str | Path = ":memory:",
    read_only: bool = False,
    threads: int | None = None,
    tables: "Mapping[str, Any] | None" = None,
) -> "Database":
    """Return an open database: `Database(path, read_only, threads)` with tables of the caller's registered.

    Parameters
    ----------
    path : str or Path
        The file, or ":memory:". A file that does not exist is made by the first CREATE TABLE or import.
    read_only : bool
        Refuse every change; the file must exist.
    threads : int, optional
        By default the cores of the machine.
    tables : mapping, optional
        A table's name to a DataFrame of pandas' or polars', or an Arrow table; see `Database.register`.

    Returns
    -------
    Database

    Raises
    ------
    UsageError
        The file cannot be opened.
    """
    from vicinal.sql.database import Database

    database = Database(path, read_only, threads)
    for name, table in (tables or {}).items():
        database.register(name, table)
    return database


if not TYPE_CHECKING:  # a type checker would take any name of a module that has __getattr__

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
