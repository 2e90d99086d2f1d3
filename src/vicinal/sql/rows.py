"""The rows of a SELECT."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from vicinal.errors import need
from vicinal.sql.types import Type, arrow_type


class Rows:
    """The rows of a SELECT, as a sequence of tuples.

    Parameters
    ----------
    found : pyarrow.Table or list of tuple
        The rows.
    columns : list of str
        The names in order; several may be equal.
    kinds : list of Type
        The columns' types in YQL.
    """

    def __init__(self, found: Any, columns: list[str], kinds: list[Type]) -> None:
        self._found, self.columns, self.kinds = found, columns, kinds  # an Arrow table, or a list of tuples

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        if isinstance(self._found, list):
            yield from self._found
            return
        for batch in self._found.to_batches():
            yield from zip(*map(_values, batch.columns, self.kinds), strict=True)

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row = row % len(self)
        if isinstance(self._found, list):
            found: tuple[Any, ...] = self._found[row]
            return found
        return next(iter(Rows(self._found.slice(row, 1), self.columns, self.kinds)))

    def __repr__(self) -> str:
        return f"Rows({', '.join(self.columns)}; {len(self)})"

    def arrow(self) -> Any:
        """Return the rows as a pyarrow Table."""
        if not isinstance(self._found, list):
            return self._found
        pyarrow = need("pyarrow", extra="sql")
        columns = zip(*self._found, strict=True) if self._found else ([] for _ in self.columns)
        arrays = [pyarrow.array(list(one), arrow_type(kind)) for one, kind in zip(columns, self.kinds, strict=True)]
        return pyarrow.Table.from_arrays(arrays, names=self.columns)

    def df(self) -> Any:
        """Return the rows as a pandas DataFrame; needs pandas."""
        need("pandas", extra="sql")
        return self.arrow().to_pandas()


def _values(column: Any, kind: Type) -> list[Any]:
    """The values of an Arrow column as DuckDB gives them for a few rows."""
    found: list[Any] = column.to_pylist()
    return [_value(one, kind) for one in found] if _differs(kind) else found


def _differs(kind: Type) -> bool:
    """Whether Arrow gives other values of a type than DuckDB."""
    if kind.item is not None:
        return _differs(kind.item)
    return kind.plain.name in ("Uuid", "Interval") or any(_differs(one) for _, one in kind.fields)


def _value(value: Any, kind: Type) -> Any:
    if value is None:
        return None
    if kind.item is not None:
        item = kind.item
        return [_value(one, item) for one in value]
    if kind.fields:
        return {name: _value(value[name], one) for name, one in kind.fields}
    return UUID(str(value)) if kind.name == "Uuid" else _span(value) if kind.plain.name == "Interval" else value


def _span(value: Any) -> timedelta:
    """Arrow's months, days and nanoseconds; a month is 30 days, as in DuckDB."""
    return timedelta(days=value.months * 30 + value.days, microseconds=value.nanoseconds // 1000)


def last(answers: Iterable[Rows]) -> Rows:
    """The last of several answers; no rows where there is none."""
    rows = Rows([], [], [])
    for rows in answers:  # noqa: B007
        pass
    return rows
