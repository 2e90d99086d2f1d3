"""Saved folders with bytes, lengths, fields and checksums changed: they load and answer, or are refused by name."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.files import mutated
from vicinal import Exact, Neighbors
from vicinal.errors import VicinalError
from vicinal.indexes import INDEXES, load_index
from vicinal.knn.checkpoint import Checkpoint
from vicinal.learn.heads import Head, Heads
from vicinal.lm.datastore import Datastore
from vicinal.storage.manifests import MANIFEST, sha256

WRONG: tuple[Any, ...] = (None, True, -1, 0, 3, 1 << 70, 0.5, 1e400, "", "x", "../x", [], [1], {}, {"a": 1})


def index_folder(random: np.random.Generator, folder: Path) -> Callable[[Path], Any]:
    """Save an index, and return what loads and searches it."""
    kind: Any = INDEXES[int(random.integers(len(INDEXES)))]
    rows = random.normal(size=(60, 8)).astype(np.float32)
    if kind.name == "binary":
        rows = np.packbits(rows > 0, axis=1)
    made = kind(threads=1).fit(rows, ids=[f"r{i}" for i in range(60)], payload={"a": list(range(60))})
    if random.random() < 0.5:
        made.remove(["r3", "r4"])
    made.save(folder)

    def read(at: Path) -> None:
        index = load_index(at, threads=1)
        found = index.search(np.zeros((1, index.dim), rows.dtype) + rows[:1], 5)
        assert found.k == 5 and (found.indices < index.n_rows).all()

    return read


def neighbors_folder(random: np.random.Generator, folder: Path) -> Callable[[Path], Any]:
    """Save neighbours, and return what loads them."""
    Exact().fit(random.normal(size=(40, 3))).neighbors(4).save(folder)
    return Neighbors.load


def head_folder(random: np.random.Generator, folder: Path) -> Callable[[Path], Any]:
    """Save a head, and return what loads and applies it."""
    arrays = {"A": random.normal(size=(2, 3)).astype(np.float32), "b": np.zeros(2, np.float32)}
    Heads((Head(arrays),)).save(folder)
    return lambda at: Heads.load(at).tower().dim_in


def store_folder(random: np.random.Generator, folder: Path) -> Callable[[Path], Any]:
    """Save a datastore, and return what opens and searches it."""
    with Datastore.create(folder, dim=3, n_words=9, dtype="float32") as store:
        store.append(random.normal(size=(20, 3)), random.integers(0, 9, 20))
    return lambda at: Datastore.open(at).search(np.zeros((1, 3)), 3)


def checkpoint_folder(random: np.random.Generator, folder: Path) -> Callable[[Path], Any]:
    """Save a checkpoint of a pass, and return what resumes it."""
    rows = random.normal(size=(50, 3)).astype(np.float32)
    index = Exact().fit(rows)
    from vicinal.knn.checkpoint import question

    asked = question(rows, "euclidean", 4, None)
    state = {"finished": 0, "layout": 1, "indices": np.full((50, 4), -1), "distances": np.full((50, 4), np.inf, "f4")}
    Checkpoint(folder, asked).save(state)
    return lambda at: index.neighbors(4, checkpoint=at)


FOLDERS = (index_folder, neighbors_folder, head_folder, store_folder, checkpoint_folder)


def changed(random: np.random.Generator, content: Any) -> Any:
    """JSON with one value, anywhere in it, replaced, removed or moved."""
    if isinstance(content, dict) and content and random.random() < 0.9:
        name = str(random.choice(list(content)))
        if random.random() < 0.15:
            return {key: value for key, value in content.items() if key != name}
        return {**content, name: changed(random, content[name])}
    if isinstance(content, list) and content and random.random() < 0.7:
        place = int(random.integers(len(content)))
        return [*content[:place], changed(random, content[place]), *content[place + 1 :]]
    return WRONG[int(random.integers(len(WRONG)))]


def case(random: np.random.Generator, place: Path) -> None:
    """One folder, changed in a few places; half of the time with checksums that fit the change."""
    folder = place / "folder"
    read = FOLDERS[int(random.integers(len(FOLDERS)))](random, folder)
    names = sorted(file.name for file in folder.iterdir())
    for _ in range(int(random.integers(1, 4))):
        name = str(random.choice(names))
        file = folder / name
        if not file.exists():
            continue
        if name == MANIFEST and random.random() < 0.8:
            try:
                content = changed(random, json.loads(file.read_bytes()))
            except ValueError:
                continue
            file.write_text(json.dumps(content))
        elif random.random() < 0.1:
            file.unlink()
        else:
            file.write_bytes(mutated(random, file.read_bytes()))
    if random.random() < 0.5:
        _seal(folder)
    with contextlib.suppress(VicinalError, MemoryError):
        read(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _seal(folder: Path) -> None:
    """Give the manifest the checksums and sizes of the parts as they are now."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        for name, part in manifest["parts"].items():
            part.update(sha256=sha256(folder / name), bytes=(folder / name).stat().st_size)
        (folder / MANIFEST).write_text(json.dumps(manifest))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
