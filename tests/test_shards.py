"""Shards of a folder with engine "ray": read where they lie, never one array of this process; no Ray is needed here."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal
from vicinal import distributed
from vicinal.data.embeddings import load
from vicinal.data.opening import open_source
from vicinal.distributed import ClusterNeighbors, engines
from vicinal.distributed.rows import Piece, cut
from vicinal.distributed.source import open_rows
from vicinal.errors import DataError, UsageError
from vicinal.knn.exact import ExactSearch
from vicinal.knn.joined import Joined, chosen
from vicinal.knn.metrics import Metric, find
from vicinal.knn.vectors import as_rows
from vicinal.storage.scratch import scratch

ENDS = [90, 91, 240]
GROUPS = (np.arange(300) % 4).tolist()


def rows_of(kind: str = "valid") -> np.ndarray:
    rows = (np.random.default_rng(3).integers(-6, 7, (300, 8)) / 4).astype(np.float32)
    rows[(rows == 0).all(axis=1)] = 1
    rows[200:230] = rows[100:130]
    rows[240:260] = rows[5]  # more copies than neighbours, so that distinct ones are searched for
    if kind == "NaN":
        rows[[60, 239, 299], 3] = np.nan
    if kind == "zeros":
        rows[[90, 241]] = 0
    return rows


def write(folder: Path, rows: np.ndarray) -> Path:
    folder.mkdir()
    for number, part in enumerate(np.split(rows, ENDS)):
        np.save(folder / f"emb-{number}.npy", part)
    return folder


def on_nodes(source: object, metric: Metric) -> np.ndarray:
    """The rows of a source as nodes read them: in blocks of parts that name files."""
    made = open_rows(source, metric)
    assert all(isinstance(part, Piece) for part in made.parts)
    blocks = cut(made.parts, [0, len(made) // 3, len(made) // 2, len(made)])
    return np.concatenate([block.read() for block in pickle.loads(pickle.dumps(blocks))])


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes on a cluster that read rows as nodes do, where all rows are never made one array in this process."""

    def neighbors(source: object, k: int, metric: Metric, *, groups: Any, left_out: Any, **how: Any) -> Any:
        found = ExactSearch.of(on_nodes(source, metric), metric, None, "null", left_out).neighbors(k, groups)
        return ClusterNeighbors(found.indices, found.distances, metric.name, found.dim)

    def search(source: object, queries: object, k: int, metric: Metric, **how: Any) -> Any:
        index = vicinal.Exact(metric).fit(on_nodes(source, metric))
        groups = {name: how.get(name) for name in ("groups", "query_groups")}
        found = index.search(on_nodes(queries, metric), k, **groups)
        return ClusterNeighbors(found.indices, found.distances, metric.name, found.dim)

    def within(source: object, radius: float, metric: Metric, queries: object = None, **how: Any) -> Any:
        assert how["num_cpus"] is None  # all cores of a node, however many there are here
        asked = None if queries is None else on_nodes(queries, metric)
        return ExactSearch.of(on_nodes(source, metric), metric).within(radius, asked)

    def refuse(self: Joined, *arguments: Any, **options: Any) -> np.ndarray:
        raise AssertionError("all rows became one array")

    for function in (neighbors, search, within):
        monkeypatch.setattr(distributed, function.__name__, function)
    monkeypatch.setattr(engines, "need", lambda *names, **options: None)
    monkeypatch.setattr(Joined, "__array__", refuse)


@pytest.mark.parametrize("kind", ["valid", "NaN"])
@pytest.mark.parametrize("on_invalid", ["null", "skip"])
def test_shards_are_scored_without_an_array_of_them(kind: str, on_invalid: Any, nodes: None, tmp_path: Path) -> None:
    folder = write(tmp_path / "emb", rows_of(kind))
    how: Any = {"k": 4, "on_invalid": on_invalid}
    write(tmp_path / "other", rows_of()[::-1])
    for more in ({}, {"groups": GROUPS}, {"reference": rows_of()[::-1]}):
        by = ["mean"] if "reference" in more else ["mean", "median", "distinct"]
        there = {"reference": tmp_path / "other"} if "reference" in more else more
        found = vicinal.score(folder, by=by, **how, **there, engine="ray")
        expected = vicinal.score(rows_of(kind), by=by, **how, **more)
        for name in by:
            assert found[name].tobytes() == expected[name].tobytes(), name
        assert found.errors == expected.errors and found.ids == expected.ids


@pytest.mark.parametrize("kind", ["valid", "NaN"])
@pytest.mark.parametrize("on_invalid", ["null", "skip"])
@pytest.mark.parametrize("one_file", [False, True])
def test_neighbours_and_duplicates_of_shards(
    kind: str, on_invalid: Any, one_file: bool, nodes: None, tmp_path: Path
) -> None:
    rows = rows_of(kind)
    source = tmp_path / "emb.npy" if one_file else write(tmp_path / "emb", rows)
    if one_file:
        np.save(source, rows)
    found = vicinal.neighbors(source, 4, "cosine", on_invalid=on_invalid, groups=GROUPS, engine="ray")
    expected = vicinal.neighbors(rows, 4, "cosine", on_invalid=on_invalid, groups=GROUPS)
    assert found.indices.tobytes() == expected.indices.tobytes()
    assert (found.distances.tobytes(), found.unusable) == (expected.distances.tobytes(), expected.unusable)
    for how in ({"radius": 0.0}, {"radius": 0.7}, {"radius": 0.7, "link": "single"}, {"radius": 0.4, "within": GROUPS}):
        groups = vicinal.duplicates(source, on_invalid=on_invalid, engine="ray", **how)
        alone = vicinal.duplicates(rows, on_invalid=on_invalid, **how)
        for name in ("representative", "distance", "match"):
            assert list(map(str, groups[name])) == list(map(str, alone[name])), (how, name)


def test_pairs_that_are_searched_in_pieces(nodes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vicinal.analysis.near_pairs.MOST_PAIRS", 300)
    folder, quality = write(tmp_path / "emb", rows_of()), np.random.default_rng(0).random(300).tolist()
    how: Any = {"radius": 1.5, "keep": "best", "quality": quality}
    found = vicinal.duplicates(folder, engine="ray", **how)
    assert found["representative"].tolist() == vicinal.duplicates(rows_of(), **how)["representative"].tolist()


def test_shards_that_become_one_array_are_copied_once(tmp_path: Path) -> None:
    opened = open_source(write(tmp_path / "emb", rows_of()), "data")
    one, other = (load(opened, metric=metric).vectors for metric in ("euclidean", "cosine"))
    assert one is other and one.tolist() == rows_of().tolist()


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_shards_that_do_not_fit_the_memory_become_a_file(
    byteorder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy lies in the folder for temporary files, and neighbours of it are those of the array."""
    rows = rows_of().astype(f"{byteorder}f4")
    taken: list[int] = []

    def counted(size: int) -> np.ndarray:
        taken.append(size)
        return scratch(size)

    monkeypatch.setattr("vicinal.knn.joined.scratch", counted)
    monkeypatch.setattr("vicinal.knn.joined.BLOCK_BYTES", 1000)
    folder, expected = write(tmp_path / "emb", rows), vicinal.neighbors(rows_of(), 3)
    monkeypatch.setenv("VICINAL_MEMORY", "36K")
    opened = load(folder).vectors
    assert taken == [rows.nbytes] and opened.dtype == np.float32 and opened.tolist() == rows_of().tolist()
    found = vicinal.neighbors(folder, 3)
    assert found.indices.tolist() == expected.indices.tolist()
    taken.clear()
    monkeypatch.setenv("VICINAL_MEMORY", "20K")
    left = np.arange(300) % 3 > 0
    assert chosen(rows, left).tolist() == rows_of()[left].tolist() and taken == [200 * rows[0].nbytes]


def test_a_metric_that_whitens_sees_all_rows_at_once(tmp_path: Path) -> None:
    metric = vicinal.mahalanobis(np.cov(rows_of().T))
    (part,) = open_rows(load(write(tmp_path / "emb", rows_of()), in_place=True).vectors, metric).parts
    assert isinstance(part, np.ndarray) and part.tobytes() == as_rows(rows_of(), metric).tobytes()


def test_masked_values_are_refused_as_here() -> None:
    masked = np.ma.masked_greater(rows_of(), 1)
    with pytest.raises(DataError, match="masked values"):
        load(masked, in_place=True)


def test_changes_of_a_private_map_are_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "emb.npy", rows_of())
    changed = np.load(tmp_path / "emb.npy", mmap_mode="c")
    changed[:] += 1
    opened = load(changed, in_place=True).vectors
    assert opened[:].tolist() == opened[np.arange(300)].tolist() == (rows_of() + 1).tolist()
    (part,) = open_rows(opened, find("euclidean")).parts
    assert isinstance(part, np.ndarray) and part.tolist() == (rows_of() + 1).tolist()


def other_dim(folder: Path) -> None:
    np.save(folder / "emb-2.npy", np.ones((149, 9), np.float32))


def truncated(folder: Path) -> None:
    file = folder / "emb-1.npy"
    file.write_bytes(file.read_bytes()[:-4])


@pytest.mark.parametrize("kind", ["NaN", "zeros", "other dim", "truncated"])
@pytest.mark.parametrize("task", ["score", "neighbors", "duplicates"])
def test_wrong_shards_are_refused_as_here(kind: str, task: str, nodes: None, tmp_path: Path) -> None:
    folder = write(tmp_path / "emb", rows_of(kind))
    {"other dim": other_dim, "truncated": truncated}.get(kind, lambda folder: None)(folder)
    how: Any = {"radius": 0.1} if task == "duplicates" else {}
    with pytest.raises(DataError) as there:
        getattr(vicinal, task)(folder, metric="cosine", engine="ray", **how)
    message = str(there.value)
    with pytest.MonkeyPatch.context() as here, pytest.raises(DataError) as error:
        here.setattr(Joined, "__array__", WHOLE)
        getattr(vicinal, task)(folder, metric="cosine", **how)
    assert message == str(error.value) and str(folder) in message
    assert {"NaN": "60, 239, 299", "zeros": "90, 241"}.get(kind, "") in message


WHOLE = Joined.__array__


def test_what_needs_all_vectors_here_is_refused_by_name(nodes: None, tmp_path: Path) -> None:
    folder = write(tmp_path / "emb", rows_of())
    with pytest.raises(UsageError, match="engine: radius 'auto' compares radii in this process; give a radius"):
        vicinal.duplicates(folder, "auto", engine="ray")
    with pytest.raises(UsageError, match="engine: new rows are compared in this process"):
        vicinal.score(append=folder, previous=tmp_path / "run", engine="ray")
    (tmp_path / "data.jsonl").write_text("".join(f'{{"id": {row}}}\n' for row in range(300)))
    lines = "- {name: KNNScorer, k: 4}\n- {name: VendiScorer}\n"
    (tmp_path / "c.yaml").write_text(f"input_path: data.jsonl\noutput_path: out\nscorers:\n{lines}")
    with pytest.raises(UsageError, match=r"VendiScorer: is computed in this process.*--engine local"):
        vicinal.score(config=tmp_path / "c.yaml", embeddings=folder, engine="ray")


def test_a_run_of_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "emb", rows_of())
    (tmp_path / "data.jsonl").write_text("".join(f'{{"id": {row}}}\n' for row in range(300)))
    with pytest.raises(UsageError, match=r"expected vectors in one file, got the folder .*emb; join its files"):
        vicinal.score(tmp_path / "data.jsonl", embeddings=folder, run=tmp_path / "run")


@pytest.mark.parametrize("dtype", ["float32", ">f8", "int16"])
def test_joined_rows_are_those_of_one_array(dtype: str) -> None:
    whole = np.arange(60).reshape(20, 3).astype(dtype)
    both = Joined([whole[:7], whole[7:7], whole[7:16], whole[16:]])
    left = np.array([0, 6, 7, 15, 16, 19])
    for joined, rows in ((both, whole), (both.chosen(left), whole[left])):
        assert (joined.shape, joined.size, joined.nbytes) == (rows.shape, rows.size, rows.nbytes)
        assert joined.dtype.isnative
        slices = slice(None), slice(2, 5), slice(5, 0, -2), slice(3, 3), slice(5, 3), slice(18, 9)
        for which in (*slices, 0, -1, np.array([5, 0, 5]), [1, -2]):
            np.testing.assert_array_equal(joined[which], rows[which])
        few = np.arange(len(rows)) % 2 == 0
        np.testing.assert_array_equal(joined[few], rows[few])
        np.testing.assert_array_equal(np.asarray(chosen(joined, few)), rows[few])  # type: ignore[arg-type]
        np.testing.assert_array_equal(np.asarray(joined), rows)
        parts = [part if some is None else part[some] for part, some in joined.pieces()]
        assert all(map(len, parts))
        np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert np.shares_memory(both[8:16], whole) == whole.dtype.isnative  # inside one part nothing is copied
    with pytest.raises(ValueError, match="ascending"):
        both.chosen(np.array([2, 1]))
