"""The note beside an array of embeddings: the file, rows and model it was made from, and the check against them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from vicinal.errors import DataError
from vicinal.storage import manifests
from vicinal.typing import Id

FORMAT, FORMAT_VERSION = "vicinal.embeddings", 1


def note_path(array: str | Path) -> Path:
    """Where the note of an array lies.

    >>> note_path("emb.npy").name
    'emb.npy.json'
    """
    return Path(f"{array}.json")


def hash_of(ids: list[Id]) -> str:
    """The SHA-256 of the ids in their order, each as JSON on a line of its own."""
    digest = hashlib.sha256()
    for one in ids:
        digest.update(json.dumps(one).encode("ascii") + b"\n")
    return digest.hexdigest()


def read_note(array: str | Path) -> dict[str, Any] | None:
    """The note beside an array, or None where vicinal wrote none.

    Raises    DataError where it is damaged, because the origin of the array is then unknown.
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


def model_of(array: str | Path) -> dict[str, Any] | None:
    """Return the model that the note beside an array names: model, model_sha256, normalized; None without a note."""
    note = read_note(array)
    return None if note is None else {name: note.get(name) for name in ("model", "model_sha256", "normalized")}


def verify_alike(array: str | Path, other: str | Path) -> None:
    """Raise DataError where the notes beside two arrays say that their rows lie in different spaces.

    Arrays without a note are taken as they are; the fields may differ, as they do between data sets.
    """
    verify_model(array, model_of(other), str(other))


def verify_model(array: str | Path, other: dict[str, Any] | None, name: str) -> None:
    """Raise DataError where the note beside an array names another model than the one of `other`.

    Parameters
    ----------
    array : path
        Without a note, it is taken as it is.
    other : dict or None
        What `model_of` returned for the vectors that the array is compared with; None where it is not known.
    name : str
        What messages call those vectors.
    """
    one = model_of(array)
    if one is None or other is None:
        return
    same_model = one["model"] == other.get("model") or (
        one["model_sha256"] is not None and one["model_sha256"] == other.get("model_sha256")
    )
    if not same_model or one["normalized"] != other.get("normalized"):
        shown = [f"{model.get('model')}{', normalized' if model.get('normalized') else ''}" for model in (one, other)]
        raise DataError(
            f"{note_path(array)}: {array} was made by {shown[0]}, but {name} by {shown[1]}, so their rows have no "
            "distances to each other; embed one of them again"
        )


def verify(array: str | Path, data: str | Path, ids: list[Id], contents: bool = True) -> None:
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
