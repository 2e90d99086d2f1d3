"""Full-text indexes: each row's words in a hidden column of the table.

A search reads that column of every row; numbers of rows with a word, and their mean length, are those of the moment, so
that no row is missed and none that was deleted counts.
"""

from typing import Any

import pyarrow

from vicinal.errors import unknown
from vicinal.sql import words
from vicinal.sql.catalog import Index, Table, quoted
from vicinal.sql.engine.connection import Connection
from vicinal.sql.engine.index_catalog import IndexCatalog
from vicinal.sql.faults import fault, outside
from vicinal.sql.parse.statements import AddIndex

_SWITCHES = tuple(f"use_filter_{one}" for one in words.FILTERS)
_NUMBERS = ("filter_length_min", "filter_length_max", "filter_ngram_min_length", "filter_ngram_max_length")
BATCH = 16_384


class FullText:
    """The full-text indexes of a database.

    connection : the database's
    kept       : where the definitions are
    """

    def __init__(self, connection: Connection, kept: IndexCatalog) -> None:
        self._connection, self._catalog = connection, kept

    def add(self, table: Table, statement: AddIndex, text: str) -> None:
        """Makes an index, with the words of every row.

        Raises    SqlError where there is not one column of text, or a setting is wrong.
        """
        column = statement.columns[0]
        if len(statement.columns) > 1:
            raise fault(text, statement.columns[1].start, "a full-text index has one column; put the others in COVER")
        kind = table.columns[column.text].kind.name
        if kind not in ("String", "Utf8"):
            raise fault(text, column.start, f"a full-text index is on a Utf8 or String, {column.text} is {kind}")
        cover = tuple(one.text for one in statement.cover)
        index = Index(statement.index.text, (column.text,), cover, _settings(statement, text), statement.kind)
        self._catalog.keep(table, index)
        self._connection.duck.execute(
            f"ALTER TABLE {quoted(table.physical)} ADD COLUMN {quoted(index.physical)} VARCHAR[]"
        )
        self.assign(table, index)

    def assign(self, table: Table, index: Index) -> None:
        """Gives the rows that have none their words."""
        column, name = quoted(table.columns[index.columns[0]].physical), quoted(table.physical)
        source = table.columns[index.columns[0]].kind.name
        value = column if source == "Utf8" else f"TRY(decode({column}))"
        duck = self._connection.duck
        found = duck.sql(
            f"SELECT rowid AS r, {value} AS v FROM {name} "
            f"WHERE {quoted(index.physical)} IS NULL AND {column} IS NOT NULL"
        ).to_arrow_table()
        for batch in found.to_batches(max_chunksize=BATCH):
            each = [None if one is None else words.tokens(one, index.settings) for one in batch.column(1).to_pylist()]
            changed = pyarrow.table({"r": batch.column(0), "w": pyarrow.array(each, pyarrow.list_(pyarrow.string()))})
            with self._connection.registered("~words", changed):
                duck.execute(
                    f'UPDATE {name} AS t SET {quoted(index.physical)} = c.w FROM "~words" AS c WHERE t.rowid = c.r'
                ).fetchall()


def _settings(statement: AddIndex, text: str) -> dict[str, Any]:
    """An index's settings, checked.

    Raises    SqlError, naming what is wrong and what is expected.
    """
    found: dict[str, Any] = {}
    for written, (value, start) in statement.settings.items():
        name = written.lower()
        choices = words.TOKENIZERS if name == "tokenizer" else ("true", "false")
        if name == "use_filter_superlemmer":
            raise fault(text, start, outside("use_filter_superlemmer", "write use_filter_snowball and language"))
        if name == "tokenizer" or name in _SWITCHES:
            if value.lower() not in choices:
                raise fault(text, start, f"{written}: {unknown('value', value, choices)}")
            found[name] = value.lower() if name == "tokenizer" else value.lower() == "true"
        elif name in _NUMBERS:
            if not value.isdigit() or not 0 < int(value) <= 1000:
                raise fault(text, start, f"{written}: expected a whole number from 1 to 1000, found {value}")
            found[name] = int(value)
        elif name == "language":
            found[name] = value.lower()
        else:
            names = ("tokenizer", *_SWITCHES, *_NUMBERS, "language")
            raise fault(text, start, outside(f"setting {written}", f"there is {', '.join(names)}"))
    _check(found, statement, text)
    return found


def _check(found: dict[str, Any], statement: AddIndex, text: str) -> None:
    """Raises SqlError where settings that belong together do not."""
    if found.get("use_filter_snowball"):
        if "language" not in found:
            raise fault(text, statement.start, "use_filter_snowball needs language=...; write language=english")
        try:
            words.stemmer(found["language"])
        except KeyError:
            raise fault(text, statement.start, f"language: no Snowball stemmer for {found['language']!r}") from None
    elif "language" in found:
        raise fault(text, statement.start, "language belongs to use_filter_snowball=true; add that, or leave it out")
    if found.get("use_filter_ngram") or found.get("use_filter_edge_ngram"):
        low, high = found.get("filter_ngram_min_length"), found.get("filter_ngram_max_length")
        if low is None or high is None or low > high:
            message = "an n-gram filter needs filter_ngram_min_length=3 and filter_ngram_max_length=5, say"
            raise fault(text, statement.start, message)
