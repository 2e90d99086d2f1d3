"""Paths of YDB's and names of tables: a table in a directory is one with slashes in its name.

A directory exists where a table lies in it, or where MakeDirectory made it.
"""

from collections.abc import Iterable
from typing import Any

from vicinal.sql.catalog import quoted
from vicinal.sql.server.answers import Refused
from vicinal.sql.server.connections import Connected
from vicinal.sql.server.messages import Status

DIRECTORIES = "~directories"  # the table of directories that were made


def name_of(path: str, root: str) -> str:
    """The table's or directory's name of a path, empty for the database's own.

    Raises    Refused where the path is in another database.

    >>> name_of("/local/a/t", "/local"), name_of("t", "/local"), name_of("/local", "/local")
    ('a/t', 't', '')
    """
    parts = [one for one in path.split("/") if one]
    if path.startswith("/"):
        own = [one for one in root.split("/") if one]
        if parts[: len(own)] != own:
            raise Refused(Status.SCHEME_ERROR, f"Path not found: {path}; the database is {root}")
        parts = parts[len(own) :]
    return "/".join(parts)


def parents(names: Iterable[str]) -> set[str]:
    """The directories in which tables lie.

    >>> sorted(parents(["a/b/t", "u"]))
    ['a', 'a/b']
    """
    found = set()
    for name in names:
        parts = name.split("/")
        found |= {"/".join(parts[:count]) for count in range(1, len(parts))}
    return found


def quoted_name(name: str) -> str:
    """A name as YQL reads it."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Directories:
    """The directories that MakeDirectory made.

    connection : one to the database, which nobody else uses meanwhile
    """

    def __init__(self, connection: Connected) -> None:
        self._duck: Any = connection._connection.duck
        self._turn = connection._turn

    def names(self) -> set[str]:
        """Their names."""
        with self._turn():
            there = self._duck.execute(
                "SELECT count(*) FROM duckdb_tables() WHERE table_name = $1", [DIRECTORIES]
            ).fetchone()
            if not there[0]:
                return set()
            return {name for (name,) in self._duck.execute(f"SELECT name FROM {quoted(DIRECTORIES)}").fetchall()}

    def make(self, name: str) -> None:
        """Makes one and those around it."""
        parts = name.split("/")
        with self._turn():
            self._duck.execute(f"CREATE TABLE IF NOT EXISTS {quoted(DIRECTORIES)} (name VARCHAR PRIMARY KEY)")
            for count in range(1, len(parts) + 1):
                given = ["/".join(parts[:count])]
                self._duck.execute(f"INSERT OR IGNORE INTO {quoted(DIRECTORIES)} VALUES ($1)", given)

    def remove(self, name: str) -> None:
        """Removes one."""
        with self._turn():
            self._duck.execute(f"DELETE FROM {quoted(DIRECTORIES)} WHERE name = $1", [name])
