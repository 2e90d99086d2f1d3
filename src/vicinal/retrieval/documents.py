"""What is given to a collection, checked before anything is embedded or changed: texts, metadata, ids.

A single text, mapping or id counts as one, never as its letters or keys. Half a surrogate pair, which no UTF-8 file can
hold, becomes U+FFFD in texts and metadata, with one warning that names the texts; in an id it is refused, because two
ids could become one.
"""

import json
import re
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError, some
from vicinal.typing import Id

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Documents:
    """Texts with one mapping of metadata and one id each."""

    texts: list[str]
    metadata: list[dict[str, Any]]
    ids: list[Id]

    def last(self) -> list[int]:
        """The places of the documents that count, ascending: of equal ids the last."""
        return sorted({name: place for place, name in enumerate(self.ids)}.values())


def checked(texts: object, metadata: object = None, ids: object = None) -> Documents:
    """Return documents that a collection can keep; arguments and errors as for `Collection.add`."""
    documents = _list("texts", texts, str)
    notes = [{} for _ in documents] if metadata is None else [_mapping(one) for one in _list("metadata", metadata)]
    names = [None for _ in documents] if ids is None else as_ids(ids)
    for what, given in (("metadata", notes), ("ids", names)):
        if len(given) != len(documents):
            raise UsageError(f"{what}: expected {len(documents)}, one a text, found {len(given)}")
    wrong = [text for text in documents if not isinstance(text, str)]
    if wrong:
        raise UsageError(f"texts: expected text, found {wrong[0]!r}")
    kept = [_repaired(text, note) for text, note in zip(documents, notes, strict=True)]
    halves = [place for place, (_, _, half) in enumerate(kept) if half]
    chosen = [str(uuid.uuid4()) if name is None else _as_id(name) for name in names]
    if halves:
        warnings.warn(
            f"texts: half a surrogate pair in {len(halves)} of {len(documents)} texts or their metadata, by place: "
            f"{some(halves)}; it is kept as U+FFFD",
            stacklevel=3,
        )
    return Documents([text for text, _, _ in kept], [note for _, note, _ in kept], chosen)


def as_ids(ids: object) -> list[Any]:
    """Ids as a list; a text or a number is one id, never its letters.

    >>> as_ids("do"), as_ids(["d", "o"]), as_ids(4)
    (['do'], ['d', 'o'], [4])
    """
    return list(ids) if isinstance(ids, Iterable) and not isinstance(ids, str | bytes) else [ids]


def readable(value: Any) -> Any:
    """A text, or a JSON value with the texts in it, where two halves of a surrogate pair are one character, and half a
    pair is U+FFFD.

    >>> readable({"a": ["\\ud83d\\ude00", "\\ud83d"]}) == {"a": ["\\U0001f600", "\\ufffd"]}
    True
    """
    if isinstance(value, str):
        if value.isascii() or not _SURROGATE.search(value):
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {readable(name): readable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [readable(one) for one in value]
    return value


def as_json(metadata: Any) -> str:
    """The metadata of a text as JSON; UsageError where they are not JSON values."""
    try:
        return json.dumps(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"metadata: expected JSON values: {error}") from None


def _list(what: str, given: object, one: type = Mapping) -> list[Any]:
    """The items of an iterable; a single one as a list of one."""
    if isinstance(given, one):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        raise UsageError(f"{what}: expected one for each of several texts, found {given!r}")
    return list(given)


def _mapping(given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(f"metadata: expected a mapping for each text, found {given!r}")
    return dict(given)


def _as_id(name: object) -> Id:
    value = name.item() if isinstance(name, np.generic) else name
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"ids: expected whole numbers or strings, found {value!r}")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise DataError(f"ids: {value!r} holds half a surrogate pair, which no file can keep; give another id")
    return value


def _repaired(text: str, note: dict[str, Any]) -> tuple[str, dict[str, Any], bool]:
    """A text and its metadata as `readable` makes them, and whether half a pair was among them."""
    before = as_json(note)
    if (text.isascii() or not _SURROGATE.search(text)) and "\\ud" not in before:
        return text, note, False
    new_text, new_note = readable(text), readable(note)
    after = as_json([new_text, new_note])
    half = after.count("\\ufffd") > as_json([text, note]).count("\\ufffd")
    return new_text, new_note, half
