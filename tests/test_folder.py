"""Indexes on disk: frozen folders load for ever, damaged ones are refused with a clear error and never crash."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicinal.errors import DataError, DiskFull, UsageError
from vicinal.indexes import BY_NAME, INDEXES
from vicinal.indexes import load_index as load
from vicinal.indexes.engines import graph
from vicinal.indexes.engines.hnsw import HNSWEngine
from vicinal.indexes.engines.lists import IVFEngine
from vicinal.knn.metrics import find, mahalanobis
from vicinal.storage import npy
from vicinal.storage.manifests import MANIFEST
from workplace import environment

FROZEN = Path(__file__).parent / "frozen"
FOLDERS = sorted(path.name for path in FROZEN.iterdir() if path.is_dir())
DAMAGED = 300


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_the_first_format_load_for_ever(name: str) -> None:
    index = load(FROZEN / name)
    expected = json.loads((FROZEN / f"{name}.json").read_text(encoding="utf-8"))
    queries = np.array(expected["queries"], dtype=index.vectors.dtype)
    found = index.search(queries, 5)
    assert index.ids.of(found.indices) == expected["ids"]
    np.testing.assert_allclose(found.distances, expected["distances"], rtol=1e-6)
    if "kind" in (index.payload.column_names if index.payload is not None else []):
        assert (index.search(queries, 5, "kind = 'b'").indices >= 0).all()


def test_every_kind_has_a_frozen_folder() -> None:
    assert {json.loads((FROZEN / name / MANIFEST).read_text())["type"] for name in FOLDERS} == {
        kind.name for kind in INDEXES
    }


def damaged(name: str, number: int, folder: Path, checked: bool) -> Path:
    """A copy of a frozen folder with a few bytes of one file changed, cut off or added.

    checked : the manifest's checksums are made to fit, so that the parsers see the damage
    """
    random = np.random.default_rng(number)
    target = folder / f"{name}-{number}"
    shutil.copytree(FROZEN / name, target)
    victim = sorted(target.iterdir())[random.integers(len(list(target.iterdir())))]
    content = bytearray(victim.read_bytes())
    way = random.integers(5)
    if way == 0:
        content = content[: random.integers(len(content))]
    elif way == 1:
        content += random.bytes(int(random.integers(1, 100)))
    else:
        reach = min(len(content), 200) if way == 2 else len(content)  # headers are at the beginning
        for place in random.integers(reach, size=random.integers(1, 9)):
            content[place] = int(random.choice([0, 1, 127, 128, 255, int(random.integers(256))]))
    victim.write_bytes(content)
    if checked and victim.name != MANIFEST:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        part = manifest["parts"][victim.name]
        part["sha256"], part["bytes"] = hashlib.sha256(content).hexdigest(), len(content)
        (target / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return target


def load_elsewhere(folders: list[Path]) -> list[str]:
    """The outcome of loading each folder in a child process; a crashed child is replaced by another."""
    said: list[str] = []
    while len(said) < len(folders):
        command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "damage.py")]
        done = subprocess.run(
            [*command, *map(str, folders[len(said) :])],
            capture_output=True,
            text=True,
            timeout=240,
            env=environment(),
            check=False,
        )
        said += done.stdout.splitlines()
        if done.returncode:
            said.append(f"crash {folders[len(said)].name}: {done.returncode} {done.stderr[-600:]}")
    return said


def test_three_hundred_damaged_folders_are_refused_with_a_clear_error(tmp_path: Path) -> None:
    folders = [damaged(FOLDERS[i % len(FOLDERS)], i, tmp_path, checked=False) for i in range(DAMAGED)]
    said = load_elsewhere(folders)
    assert len(said) == DAMAGED
    assert not [line for line in said if line.startswith("crash")]
    refused = [line for line in said if line.startswith("refused")]
    # What loads is a manifest in which a byte changed that says nothing, such as a reason or white space.
    for folder, line in zip(folders, said, strict=True):
        whole = FROZEN / folder.name.rpartition("-")[0]
        same = all((whole / f.name).read_bytes() == f.read_bytes() for f in folder.iterdir() if f.name != MANIFEST)
        assert line.startswith("refused") or same, (folder.name, line)
    assert len(refused) > 0.9 * DAMAGED and all(str(tmp_path) in line for line in refused)


def test_parsers_that_see_damage_say_so_and_do_not_crash(tmp_path: Path) -> None:
    """With checksums that fit: faiss, numpy, Arrow and JSON read the damaged bytes themselves."""
    names = list(FOLDERS)
    folders = [damaged(names[i % len(names)], 1_000 + i, tmp_path, checked=True) for i in range(DAMAGED)]
    said = load_elsewhere(folders)
    assert len(said) == DAMAGED
    assert not [line for line in said if line.startswith("crash")], [line for line in said if line.startswith("crash")]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    shutil.copytree(FROZEN / "hnsw-cosine", tmp_path / "index")
    return tmp_path / "index"


def change(folder: Path, **values: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format": "vicinal.neighbors"}, "not a manifest of an index"),
        ({"format_version": 2}, "format version 2, this vicinal reads 1: update vicinal"),
        ({"type": "hnws"}, "unknown type 'hnws': did you mean 'hnsw'"),
        ({"metric": "cosin"}, "unknown metric 'cosin': did you mean 'cosine'"),
        ({"metric": "manhattan"}, "found metric 'manhattan', expected one of euclidean"),
        (
            {"n": -1},
            "not a manifest of an index: n: expected a whole number of at least 0, found -1",
        ),
        ({"n": 10**18, "live": 10**18}, "expected"),
        ({"dim": 3}, "expected"),
        ({"live": 1}, "live rows, the manifest says 1"),
        ({"parameters": {"M": 10**9}}, "M: expected a whole number from 2 to 512"),
        ({"parameters": {"speed": 1}}, "not a complete index"),
        (
            {"parts": {"../../secret": {"sha256": "", "bytes": 1}}},
            "parts: expected file names, each with",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_named(saved: Path, values: dict, said: str) -> None:
    change(saved, **values)
    with pytest.raises(DataError, match=said) as caught:
        load(saved)
    assert str(saved) in str(caught.value)


def test_parts_that_are_missing_or_changed_are_named(saved: Path) -> None:
    engine = saved / "engine.faiss"
    content = engine.read_bytes()
    engine.write_bytes(content[:-1] + b"\0")
    with pytest.raises(DataError, match=r"engine\.faiss: damaged: its checksum is not the manifest's"):
        load(saved)
    engine.unlink()
    with pytest.raises(DataError, match=r"engine\.faiss: missing; the folder is incomplete"):
        load(saved)
    with pytest.raises(DataError, match=r"manifest\.json: cannot be read .*written by `vicinal index build`"):
        load(saved.parent / "nothing")


def test_nothing_is_unpickled(saved: Path) -> None:
    np.save(saved / "vectors.npy", np.array([{}], dtype=object), allow_pickle=True)
    manifest = json.loads((saved / MANIFEST).read_text(encoding="utf-8"))
    content = (saved / "vectors.npy").read_bytes()
    manifest["parts"]["vectors.npy"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    change(saved, parts=manifest["parts"])
    with pytest.raises(DataError, match="pickles are never opened"):
        load(saved)


def test_a_link_of_a_graph_that_leads_nowhere_is_found(saved: Path) -> None:
    import faiss

    engine: Any = faiss.read_index(str(saved / "engine.faiss"))
    links = faiss.rev_swig_ptr(engine.hnsw.neighbors.data(), engine.hnsw.neighbors.size())
    links[3] = 10**6
    faiss.write_index(engine, str(saved / "engine.faiss"))
    content = (saved / "engine.faiss").read_bytes()
    manifest = json.loads((saved / MANIFEST).read_text(encoding="utf-8"))
    manifest["parts"]["engine.faiss"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    change(saved, parts=manifest["parts"])
    with pytest.raises(DataError, match=r"engine\.faiss: (a link of the graph leads to no entry|faiss cannot read it)"):
        load(saved)


def test_a_metric_of_a_matrix_is_not_saved(tmp_path: Path) -> None:
    from vicinal import Exact

    index = Exact(mahalanobis([[2.0, 0.0], [0.0, 1.0]])).fit([[0.0, 0.0], [1.0, 1.0]])
    assert index.search([[0.0, 0.1]], 1).indices.tolist() == [[0]]
    with pytest.raises(UsageError, match="an index of metric mahalanobis cannot be saved; whiten"):
        index.save(tmp_path / "index")


def test_what_is_there_is_replaced_whole_or_not_at_all(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = load(saved)
    before = {file.name: file.read_bytes() for file in saved.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HNSWEngine, "write", full)
    with pytest.raises(DiskFull, match="index: not enough room"):
        index.save(saved, overwrite=True)
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["index"]


def test_an_engine_that_names_an_entry_which_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    index = BY_NAME["ivf"]().fit(np.arange(80.0).reshape(40, 2))
    monkeypatch.setattr(IVFEngine, "propose", lambda *_: np.array([[1, 40]]))
    with pytest.raises(DataError, match="the engine names entry 40 of 40: its file is damaged; build the index again"):
        index.search([[0.0, 1.0]], 2)


def test_a_graph_of_a_format_that_no_release_wrote_is_refused(tmp_path: Path) -> None:
    index = BY_NAME["graph"]().fit(np.arange(80.0).reshape(40, 2))
    engine: Any = index._backend.engine  # type: ignore[attr-defined]
    engine.write(tmp_path)
    arrays = dict(graph._arrays(tmp_path / graph.FILE))
    arrays["head"][0] = 1
    with open(tmp_path / graph.FILE, "wb") as file:
        for array in arrays.values():
            npy.write_npy(file, array)
    with pytest.raises(
        DataError, match=r"engine\.graph: it is of version 1, expected version 2; build the index again"
    ):
        engine.read({graph.FILE: tmp_path / graph.FILE}, index._backend.entries)  # type: ignore[attr-defined]


def main() -> None:
    """Writes the frozen folders, once for a format version: python tests/test_folder.py."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(8, 16))
    vectors = (centres[random.integers(8, size=120)] + 0.3 * random.normal(size=(120, 16))).astype(np.float16)
    vectors[10:14] = vectors[3]
    names = [f"row {i}" if i % 2 else i for i in range(120)]
    payload = {"kind": [("a", "b", "c")[i % 3] for i in range(120)], "size": list(range(120))}
    cases: list[tuple[str, str, dict]] = [
        *((kind.name, "cosine" if "cosine" in kind.metrics else "hamming", {}) for kind in INDEXES),
        ("graph", "inner_product", {"graph_degree": 4, "intermediate_graph_degree": 8}),
        ("hnsw", "euclidean", {}),
        ("ivfpq", "euclidean", {"keep_vectors": False, "n_bits": 4, "n_subquantizers": 8}),
        ("binary", "hamming", {"structure": "graph"}),
        ("binary", "hamming", {"structure": "lists"}),
        ("exact", "manhattan", {}),
    ]
    for kind in INDEXES:
        for name, metric, settings in cases:
            if name != kind.name:
                continue
            rows = np.packbits(vectors > 0, axis=1) if find(metric).kernel == "bits" else vectors
            index = kind(metric=find(metric), **settings).fit(rows, ids=names, payload=payload)
            index.remove(["row 5", 20])
            title = "-".join([name, metric, *(str(value) for value in settings.values())])
            index.save(FROZEN / title, overwrite=True)
            found = index.search(rows[:4], 5)
            answer = {
                "queries": rows[:4].tolist(),
                "ids": index.ids.of(found.indices),
                "distances": found.distances.tolist(),
            }
            (FROZEN / f"{title}.json").write_text(json.dumps(answer) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
