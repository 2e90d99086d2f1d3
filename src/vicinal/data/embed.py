"""From text to embeddings, by models of sentence-transformers."""

import contextlib
import hashlib
import json
import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import __version__
from vicinal.data import provenance, tables
from vicinal.errors import DataError, UsageError, kept_in, need, some
from vicinal.storage import atomic, manifests

DTYPES = ("float32", "float16")
BLOCK_ROWS = 512
ARRAY = "array.npy"

Progress = Callable[[int, int], None]


def embed_dataset(
    data: str | Path,
    fields: list[str],
    output: str | Path,
    model: str,
    *,
    dtype: str = "float32",
    normalize: bool = False,
    batch_size: int = 64,
    device: str | None = None,
    id_field: str = "id",
    overwrite: bool = False,
    progress: Callable[[str], Progress] | None = None,
) -> dict[str, Any]:
    """Embeds every row's text with a sentence-transformers model and writes the array, and a note beside it.

    fields    : the fields that make a row's text, joined by line ends; empty ones are left out
    output    : a `.npy`; the note lies beside it, as `output.json`
    model     : a folder with a model, or a name that sentence-transformers knows
    dtype     : float32 or float16
    normalize : whether rows are scaled to length 1
    Returns     the note: the data set's sha256, the hash of the ids, model, fields, dtype, rows cut short, empty rows
    Work that was stopped is kept in the folder `output.part`, and the same call goes on from it.
    Raises      UsageError, DataError, MissingExtra
    """
    output = Path(output)
    part, note_file = Path(f"{output}.part"), provenance.note_path(output)
    if output.suffix != ".npy":
        raise UsageError(f"{output}: expected a name that ends in .npy")
    for path in (output, note_file):
        atomic.check_file(path, overwrite)
    if dtype not in DTYPES:
        raise UsageError(f"dtype: expected float32 or float16, got {dtype!r}")
    tables.suffix(data)
    ids, warned, columns = tables.read_columns(data, id_field, dict.fromkeys(fields, "text"))
    for one in warned:
        warnings.warn(one, stacklevel=2)
    if not ids:
        raise DataError(f"{data}: holds no rows; there is nothing to embed")
    for field in fields:
        if not any(columns[field]):
            raise DataError(f"{data}: no row has text in the field {field!r}; name one that has with --field")
    texts = ["\n".join(filter(None, row)) for row in zip(*(columns[field] for field in fields), strict=True)]
    asked = {
        "data": str(Path(data).resolve()),
        "data_sha256": manifests.sha256(data),
        "ids_sha256": provenance.hash_of(ids),
        "rows": len(ids),
        "model": str(Path(model).resolve()) if Path(model).is_dir() else model,
        "model_sha256": _model_hash(Path(model)) if Path(model).is_dir() else None,
        "fields": fields,
        "dtype": dtype,
        "normalized": normalize,
        "batch_size": batch_size,
    }
    state = _read_state(part, asked)
    encoder = _load(model, device)
    tell = None if progress is None else progress(f"embedding {Path(data).name}")
    part.mkdir(exist_ok=True)
    array = None if state is None else _kept_array(part, len(ids), dtype)
    if state is None or array is None:
        state = {"asked": asked, "done": 0, "cut": []}
    elif tell is not None:
        tell(state["done"], len(ids))
    with kept_in(part):
        for start in range(state["done"], len(ids), BLOCK_ROWS):
            block = texts[start : start + BLOCK_ROWS]
            vectors = encoder.encode(
                block,
                batch_size=batch_size,
                normalize_embeddings=normalize,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
            if array is None:
                shape = (len(ids), vectors.shape[1])
                array = np.lib.format.open_memmap(part / ARRAY, "w+", dtype=dtype, shape=shape)
            with np.errstate(over="ignore"):
                array[start : start + len(block)] = vectors
            if not np.isfinite(array[start : start + len(block)]).all():
                shutil.rmtree(part)  # the same question can only end here again
                _refuse_not_finite(array, start, vectors, ids, data)
            array.flush()
            state["cut"] += [start + row for row in _cut(encoder, block)]
            state["done"] = start + len(block)
            with atomic.whole_file(part / "state.json", overwrite=True) as file:
                file.write(json.dumps(state).encode())
            if tell is not None:
                tell(state["done"], len(ids))
    assert array is not None
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    for rows, what in ((empty, "no text: all of them get the same embedding"), (state["cut"], "were cut short")):
        if rows:
            named = some([ids[row] for row in rows])
            warnings.warn(f"{data}: {len(rows)} of {len(ids)} rows: {what}: {named}", stacklevel=2)
    whole = {
        "format": provenance.FORMAT,
        "format_version": provenance.FORMAT_VERSION,
        "vicinal": __version__,
        **asked,
        "dim": array.shape[1],
        "longest": _longest(encoder),
        "cut_rows": state["cut"],
        "empty_rows": empty,
    }
    with atomic.whole_file(note_file, overwrite) as note_text:
        note_text.write((json.dumps(whole, indent=2) + "\n").encode())
        with atomic.whole_file(output, overwrite) as file:
            np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
        with contextlib.suppress(OSError):
            note_file.unlink()  # never an old note beside a new array
    shutil.rmtree(part, ignore_errors=True)
    return whole


def text_embedder(model: str, normalize: bool = False, device: str | None = None) -> Callable[[list[str]], np.ndarray]:
    """What embeds texts by a sentence-transformers model: a list of texts -> float32 (n, dim).

    model, normalize, device : as for `embed_dataset`; the model is loaded at once
    Raises                     UsageError where it cannot be loaded; MissingExtra
    """
    encoder = _load(model, device)

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(
            encoder.encode(texts, normalize_embeddings=normalize, convert_to_numpy=True, show_progress_bar=False)
        )

    return embed


def _load(model: str, device: str | None) -> Any:
    """The model; a folder is never looked up anywhere else."""
    library = need("sentence_transformers", extra="embed")
    folder = Path(model).is_dir()
    try:
        return library.SentenceTransformer(model, device=device, local_files_only=folder)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"--model: {model}: cannot be loaded ({reason}); give a folder that holds a sentence-transformers model, "
            "or its name"
        ) from None


def _longest(encoder: Any) -> int | None:
    """How many tokens of a text the model reads; None where it reads all."""
    longest = getattr(encoder, "max_seq_length", None)
    return int(longest) if longest is not None and math.isfinite(longest) else None


def _cut(encoder: Any, texts: list[str]) -> list[int]:
    """The texts that are longer than the model reads."""
    longest = _longest(encoder)
    if longest is None:
        return []
    # What the model is told before each text counts too. A character may be several tokens, so every text is counted.
    before = getattr(encoder, "prompts", {}).get(getattr(encoder, "default_prompt_name", None)) or ""
    tokens = encoder.tokenizer([before + text for text in texts], truncation=True, max_length=longest + 1)["input_ids"]
    return [row for row, found in enumerate(tokens) if len(found) > longest]


def _refuse_not_finite(
    array: np.ndarray, start: int, vectors: np.ndarray, ids: list[tables.Id], data: str | Path
) -> None:
    row = int(np.flatnonzero(~np.isfinite(array[start : start + len(vectors)]).all(axis=1))[0])
    named = f"{data}: row {start + row}, {ids[start + row]}"
    if np.isfinite(vectors[row]).all():
        raise UsageError(f"{named}: its embedding is too large for {array.dtype}; use --dtype float32")
    raise DataError(f"{named}: the model gave an embedding that is not finite; look at its text")


def _kept_array(part: Path, rows: int, dtype: str) -> np.memmap | None:
    """The array that was begun, or None where it is not there or damaged, so that the work begins anew."""
    try:
        array = np.lib.format.open_memmap(part / ARRAY, "r+")
    except (OSError, ValueError):
        return None
    return array if array.ndim == 2 and (len(array), array.dtype) == (rows, np.dtype(dtype)) else None


def _model_hash(folder: Path) -> str:
    """One SHA-256 for the names and contents of a model's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)} {manifests.sha256(file)}\n".encode())
    return digest.hexdigest()


def _read_state(part: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """What was done of this question before; UsageError where the folder holds another's work."""
    if not part.exists():
        return None
    atomic.remove_leftovers(part / "state.json")
    try:
        state = json.loads((part / "state.json").read_text(encoding="utf-8"))
        before, _, _ = state["asked"], state["done"], state["cut"]
    except FileNotFoundError:
        if {file.name for file in part.iterdir()} <= {ARRAY}:
            return None
        raise UsageError(f"{part}: holds files that vicinal did not write; move it away") from None
    except (OSError, ValueError, KeyError, TypeError, NotADirectoryError):
        raise UsageError(f"{part}: not the kept work of `vicinal embed`; move it away") from None
    # A file may have moved: its checksum tells what it is.
    moved = {"data"} | ({"model"} if asked["model_sha256"] else set())
    changed = [key for key in asked if key not in moved and before.get(key) != asked[key]]
    if changed:
        raise UsageError(
            f"{part}: holds the work of another run; changed since: {', '.join(changed)}. Ask the same again, or "
            "remove it"
        )
    return state
