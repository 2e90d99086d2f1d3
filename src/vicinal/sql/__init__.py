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
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vicinal.sql.database import Database

__all__ = ["connect"]


def connect(path: str | Path = ":memory:", read_only: bool = False, threads: int | None = None) -> "Database":
    """An embedded database that speaks YQL; `vicinal.sql.database.Database` tells of it.

    path      : a file, made where it does not exist, or ":memory:"
    read_only : refuse every change; the file must exist
    threads   : how many, None for all cores
    """
    from vicinal.sql.database import Database

    return Database(path, read_only, threads)
