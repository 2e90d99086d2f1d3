"""The note beside an array of embeddings: of which file, which rows and which model it is, and whether that holds."""

import hashlib
import json
from pathlib import Path
from typing import Any

from vicinal.data import tables
from vicinal.errors import DataError
from vicinal.storage import manifests

FORMAT, FORMAT_VERSION = "vicinal.embeddings", 1


def note_path(array: str | Path) -> Path:
    """Where the note of an array lies.

    >>> note_path("emb.npy").name
    'emb.npy.json'
    """
    return Path(f"{array}.json")


def hash_of(ids: list[tables.Id]) -> str:
    """The SHA-256 of the ids in their order, each as JSON on a line of its own."""
    digest = hashlib.sha256()
    for one in ids:
        digest.update(json.dumps(one).encode("ascii") + b"\n")
    return digest.hexdigest()


def read_note(array: str | Path) -> dict[str, Any] | None:
    """The note beside an array, or None where there is none that is ours.

    Raises    DataError where it is damaged, for then nobody knows what the array is of.
    """
    path = note_path(array)
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); embed again, or remove the note") from None
    if not isinstance(note, dict) or note.get("format") != FORMAT:
        return None
    missing = [key for key in ("data", "data_sha256", "ids_sha256", "rows", "model", "normalized") if key not in note]
    if missing:
        raise DataError(f"{path}: damaged: no {missing[0]!r}; embed again, or remove the note")
    return note


def verify_alike(array: str | Path, other: str | Path) -> None:
    """Raises DataError where the notes beside two arrays say that their rows lie in different spaces.

    Arrays without a note are taken as they are; fields may differ, as they do between data sets.
    """
    one, two = read_note(array), read_note(other)
    if one is None or two is None:
        return
    same_model = one["model"] == two["model"] or (
        one.get("model_sha256") is not None and one.get("model_sha256") == two.get("model_sha256")
    )
    if not same_model or one["normalized"] != two["normalized"]:
        said = [f"{note['model']}{', normalized' if note['normalized'] else ''}" for note in (one, two)]
        raise DataError(
            f"{note_path(array)}: {array} was made by {said[0]}, but {other} by {said[1]}, so their rows have no "
            "distances to each other; embed one of them again"
        )


def verify(array: str | Path, data: str | Path, ids: list[tables.Id], contents: bool = True) -> None:
    """Raises DataError where the note beside an array says that it is of another file, or of its rows in another order.

    Arrays without a note are taken as they are.

    contents : whether the file must be the very one; otherwise, as for labels that came later, any that names the same
               rows by id, or names none
    """
    note = read_note(array)
    if note is None or note["data_sha256"] == manifests.sha256(data):
        return
    if (
        not contents
        and note["rows"] == len(ids)
        and (ids == list(range(len(ids))) or note["ids_sha256"] == hash_of(ids))
    ):
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
