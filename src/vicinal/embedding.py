"""From text to embeddings, and the note beside an array that says of which file, which rows and which model it is."""

import hashlib
import json
from pathlib import Path
from typing import Any

from vicinal import datasets, files
from vicinal.errors import DataError

FORMAT, FORMAT_VERSION = "vicinal.embeddings", 1


def note_path(array: str | Path) -> Path:
    """Where the note of an array lies.

    >>> note_path("emb.npy").name
    'emb.npy.json'
    """
    return Path(f"{array}.json")


def hash_of(ids: list[datasets.Id]) -> str:
    """The SHA-256 of the ids in their order, each as JSON on a line of its own."""
    digest = hashlib.sha256()
    for one in ids:
        digest.update(json.dumps(one).encode("ascii") + b"\n")
    return digest.hexdigest()


def read_note(array: str | Path) -> dict[str, Any] | None:
    """The note beside an array, or None where there is none that is ours."""
    path = note_path(array)
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        ours = note["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        if ours:
            note["data_sha256"], note["ids_sha256"], note["rows"], note["data"]
    except KeyError as error:
        raise DataError(f"{path}: damaged: no {error}; embed again, or remove the note") from None
    return note if ours else None


def verify(array: str | Path, data: str | Path, ids: list[datasets.Id]) -> None:
    """Raises DataError where the note beside an array says that it is of another file, or of its rows in another order.

    Arrays without a note are taken as they are.
    """
    note = read_note(array)
    if note is None or note["data_sha256"] == files.sha256(data):
        return
    path = note_path(array)
    remedy = f"embed {data} again, or remove the note if you know that its rows are these"
    if note["rows"] != len(ids):
        said = f"{array} was made from {note['data']} of {note['rows']} rows, but {data} has {len(ids)}"
    elif note["ids_sha256"] != hash_of(ids):
        said = f"{array} was made from {note['data']}, whose ids are others than {data}'s or in another order"
    else:
        said = f"{array} was made from {note['data']}, which had the same ids as {data} but other contents"
    raise DataError(f"{path}: {said}; {remedy}")
