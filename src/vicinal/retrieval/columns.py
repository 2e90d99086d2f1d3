"""The columns of a collection as Arrow tables: those of its saved folder, and those that a filter may name."""

import json
from typing import Any

from vicinal.errors import DataError
from vicinal.indexes.payload import as_array, as_table
from vicinal.retrieval.documents import as_json, readable

TEXT, METADATA = "text", "metadata"


def saved(texts: list[str], metadata: list[dict[str, Any]]) -> Any:
    """Texts, metadata as JSON, and each key of plain values of one type as a column of its own."""
    columns: dict[str, list[Any]] = {
        TEXT: [readable(text) for text in texts],
        METADATA: [as_json(one) for one in metadata],
    }
    plain = {name for one in metadata for name, value in one.items() if isinstance(value, str | int | float)}
    for name in sorted(str(name) for name in plain - {TEXT, METADATA, "id"}):
        values = [one.get(name) for one in metadata]
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) == 1 or kinds == {int, float}:
            columns[readable(name)] = [readable(value) for value in values]
    return as_table(columns, len(texts))


def restored(table: Any, folder: object) -> tuple[list[str], list[dict[str, Any]]]:
    """The texts and the metadata of a saved table; DataError, naming the folder, where it has none."""
    names = [] if table is None else table.column_names
    if TEXT not in names or METADATA not in names:
        raise DataError(f"{folder}: an index without texts and metadata; expected one saved by a Collection")
    texts = [str(text or "") for text in table[TEXT].to_pylist()]
    try:
        metadata = [json.loads(text) for text in table[METADATA].to_pylist()]
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{folder}: its metadata are not JSON ({error}); expected one saved by a Collection") from None
    if not all(isinstance(one, dict) for one in metadata):
        raise DataError(f"{folder}: its metadata are not JSON objects; expected one saved by a Collection")
    return texts, metadata


def filtered(ids: list[Any], texts: list[str], metadata: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns that an expression may name, Arrow arrays by name: the keys of the metadata, `id` and `text`."""
    columns: dict[str, Any] = {"id": [readable(str(one)) for one in ids], TEXT: [readable(text) for text in texts]}
    for name in {name: None for one in metadata for name in one}:
        columns[readable(str(name))] = [readable(one.get(name)) for one in metadata]
    return {name: as_array(values)[0] for name, values in columns.items()}
