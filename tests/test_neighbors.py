"""Neighbors: immutable, merged by rules that can be checked by hand, unchanged by saving and loading."""

import dataclasses
import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vicinal
from vicinal import Neighbors
from vicinal.errors import DataError, UsageError
from vicinal.knn.neighbors import RadiusNeighbors
from workplace import start


def made(indices: Any, distances: Any, metric: str | None = None) -> Neighbors:
    return Neighbors(indices, distances, metric)


def within(indptr: Any, indices: Any, distances: Any, metric: str | None = None) -> RadiusNeighbors:
    return RadiusNeighbors(indptr, indices, distances, metric)


GRAPH = made([[1, 2], [0, 2], [1, 0]], [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]], "euclidean")


def same(a: Neighbors, b: Neighbors) -> None:
    np.testing.assert_array_equal(a.indices, b.indices)
    np.testing.assert_array_equal(a.distances, b.distances)
    assert (a.metric, a.dim) == (b.metric, b.dim)
    assert a.indices.dtype == b.indices.dtype and a.distances.dtype == b.distances.dtype


def test_nothing_in_it_can_be_changed() -> None:
    for array in (GRAPH.indices, GRAPH.distances, GRAPH.nearest(1).indices):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 7
    with pytest.raises(dataclasses.FrozenInstanceError):
        GRAPH.metric = "cosine"  # type: ignore[misc]


@pytest.mark.parametrize("indices", [np.int8, np.uint16, np.int32, np.int64, ">i4", np.uint64])
@pytest.mark.parametrize("distances", [np.float16, np.float64, ">f4", np.int64])
def test_the_arrays_are_int64_and_float32_whatever_they_are_made_from(indices: Any, distances: Any) -> None:
    made = Neighbors(np.array([[1, 2]], indices, order="F"), np.array([[3, 4]], distances))
    assert (made.indices.dtype, made.distances.dtype) == (np.dtype(np.int64), np.dtype(np.float32))
    assert (made.indices.tolist(), made.distances.tolist()) == ([[1, 2]], [[3.0, 4.0]])
    assert (len(made), made.k, repr(made)) == (1, 2, "Neighbors(n=1, k=2, metric=None)")


def test_a_distance_beyond_float32_is_infinite() -> None:
    assert made([[1]], [[1e300]]).distances.tolist() == [[np.inf]]


@pytest.mark.parametrize(
    ("indices", "distances", "said"),
    [
        ([1, 2], [1.0, 2.0], r"two 2-D arrays of one shape, found indices \(2,\) and distances \(2,\)"),
        ([[1, 2]], [[1.0]], r"found indices \(1, 2\) and distances \(1, 1\)"),
        ([[[1]]], [[[1.0]]], "two 2-D arrays"),
        ([[1.5]], [[1.0]], "whole numbers as indices, found float64"),
        ([[True]], [[1.0]], "whole numbers as indices, found bool"),
        ([[2**63]], [[1.0]], "whole numbers as indices, found uint64"),
        ([["a"]], [[1.0]], "whole numbers as indices"),
        ([[1]], [["a"]], "2-D arrays of numbers"),
        ([[1, 2], [3]], [[1.0, 2.0], [3.0]], "2-D arrays of numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(indices: Any, distances: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Neighbors(indices, distances)


def test_the_nearest_are_the_first_columns() -> None:
    same(GRAPH.nearest(1), made([[1], [0], [1]], [[1.0], [1.0], [2.0]], "euclidean"))
    same(GRAPH.nearest(2), GRAPH)
    for k in (0, 3, -1):
        with pytest.raises(UsageError, match=rf"k: expected .*got {k}"):
            GRAPH.nearest(k)
    for odd in (True, 1.0, "1"):
        with pytest.raises(UsageError, match="expected a whole number above 0"):
            GRAPH.nearest(odd)  # type: ignore[arg-type]


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    k=st.none() | st.integers(1, 12),
)
def test_a_merge_is_what_sorting_every_mention_gives(seed: int, n: int, sizes: list[int], k: int | None) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        indices = random.integers(-1, 8, (n, size))
        distances = np.where(indices < 0, np.inf, random.choice([0, 1, 2, 3, np.inf], (n, size)))
        parts.append(Neighbors(indices, distances, "euclidean"))
    merged = parts[0].merge(*parts[1:], k=k)
    wanted = min(max(sizes) if k is None else k, sum(sizes))
    assert merged.indices.shape == merged.distances.shape == (n, wanted) and merged.metric == "euclidean"
    for row in range(n):
        nearest: dict[int, float] = {}
        for part in parts:
            for index, distance in zip(part.indices[row].tolist(), part.distances[row].tolist(), strict=True):
                if index >= 0:
                    nearest[index] = min(distance, nearest.get(index, np.inf))
        truth = sorted((distance, index) for index, distance in nearest.items())[:wanted]  # infinite ones before none
        truth += [(np.inf, -1)] * (wanted - len(truth))
        found = list(zip(merged.distances[row].tolist(), merged.indices[row].tolist(), strict=True))
        assert found == truth


def test_the_parts_of_a_stored_set_merge_into_the_whole() -> None:
    random = np.random.default_rng(0)
    vectors, queries = random.normal(size=(60, 5)), random.normal(size=(9, 5))
    whole = vicinal.Exact().fit(vectors).search(queries, 7)
    first = vicinal.Exact().fit(vectors[:25]).search(queries, 7)
    second = vicinal.Exact().fit(vectors[25:]).search(queries, 7)
    same(first.merge(Neighbors(second.indices + 25, second.distances, second.metric)), whole)


def test_results_that_do_not_belong_together_are_not_merged() -> None:
    with pytest.raises(DataError, match="same rows and metric"):
        GRAPH.merge(made([[1]], [[1.0]], "euclidean"))
    with pytest.raises(DataError, match="same rows and metric"):
        GRAPH.merge(Neighbors(GRAPH.indices, GRAPH.distances, "cosine"))
    for k in (0, -1, True, 2.0):
        with pytest.raises(UsageError, match="expected a whole number above 0"):
            GRAPH.merge(GRAPH, k=k)  # type: ignore[arg-type]


@given(seed=st.integers(0, 1000), n=st.integers(0, 5), k=st.integers(0, 5), metric=st.none() | st.just("cosine"))
def test_what_is_saved_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, k: int, metric: str | None
) -> None:
    random = np.random.default_rng(seed)
    graph = Neighbors(random.integers(-1, 2**62, (n, k)), random.normal(size=(n, k)).astype(np.float32), metric)
    folder = tmp_path_factory.mktemp("graph") / "g"
    graph.save(str(folder))
    same(Neighbors.load(str(folder)), graph)
    assert {file.name for file in folder.iterdir()} == {"manifest.json", "indices.npy", "distances.npy"}
    assert [path.name for path in folder.parent.iterdir()] == ["g"]


def test_the_folder_is_plain_json_and_npy_that_other_tools_read(tmp_path: Path) -> None:
    GRAPH.save(tmp_path / "g")
    manifest = json.loads((tmp_path / "g" / "manifest.json").read_text())
    assert (manifest["format"], manifest["format_version"]) == ("vicinal.neighbors", 1)
    assert (manifest["metric"], manifest["n"], manifest["k"]) == ("euclidean", 3, 2)
    for name, array in (("indices.npy", GRAPH.indices), ("distances.npy", GRAPH.distances)):
        np.testing.assert_array_equal(np.load(tmp_path / "g" / name, allow_pickle=False), array)
        digest = hashlib.sha256((tmp_path / "g" / name).read_bytes()).hexdigest()
        assert manifest["parts"][name]["sha256"] == digest


def test_a_saved_graph_is_replaced_only_on_request(tmp_path: Path) -> None:
    GRAPH.save(tmp_path / "g")
    with pytest.raises(UsageError, match="exists already"):
        GRAPH.nearest(1).save(tmp_path / "g")
    same(Neighbors.load(tmp_path / "g"), GRAPH)
    GRAPH.nearest(1).save(tmp_path / "g", overwrite=True)
    same(Neighbors.load(tmp_path / "g"), GRAPH.nearest(1))
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_a_loaded_graph_outlives_its_replacement(tmp_path: Path) -> None:
    GRAPH.save(tmp_path / "g")
    loaded = Neighbors.load(tmp_path / "g")
    loaded.nearest(1).save(tmp_path / "g", overwrite=True)
    same(loaded, GRAPH)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    GRAPH.save(tmp_path / "g")
    return tmp_path / "g"


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        Neighbors.load(folder)
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(folder))


@pytest.mark.parametrize("name", ["indices.npy", "distances.npy"])
def test_every_damaged_byte_of_an_array_is_noticed(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for place in range(len(content)):
        (folder / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert refused(folder).startswith(f"/{name}: damaged: its checksum is not the manifest's; save")
    (folder / name).write_bytes(content[:-1])
    assert "checksum" in refused(folder)
    (folder / name).unlink()
    assert refused(folder).startswith(f"/{name}: missing")


def test_a_pickle_with_the_right_checksum_is_still_never_opened(folder: Path) -> None:
    np.save(folder / "indices.npy", np.array([[{}, {}]] * 3), allow_pickle=True)
    file = folder / "indices.npy"
    rewrite(folder, lambda m: m["parts"][file.name].update(sha256=digest(file), bytes=file.stat().st_size))
    assert "found dtype object (pickled" in refused(folder)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def rewrite(folder: Path, change: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_folder_without_a_manifest_is_not_one_of_ours(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert "cannot be read (No such file or directory); expected a folder written by `vicinal neighb" in refused(folder)
    with pytest.raises(DataError, match="cannot be read"):
        Neighbors.load(folder / "none")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"a"', "{}", '{"format": "vicinal.neighbors"}', '{"name": "a page"}', "\udcff"]
)
def test_a_foreign_or_damaged_manifest_is_named(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert refused(folder).startswith("/manifest.json: not a manifest of saved neighbours")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format="other"),
        lambda m: m.pop("n"),
        lambda m: m.pop("metric"),
        lambda m: m.update(metric=[]),
        lambda m: m.pop("parts"),
        lambda m: m.update(parts=[]),
        lambda m: m["parts"].pop("indices.npy"),
        lambda m: m["parts"].update({"indices.npy": None}),
        lambda m: m["parts"]["distances.npy"].pop("sha256"),
    ],
)
def test_a_manifest_that_lacks_something_is_refused(folder: Path, change: Any) -> None:
    rewrite(folder, change)
    assert refused(folder).startswith("/manifest.json: not a manifest of saved neighbours")


def test_a_newer_format_asks_for_an_update(folder: Path) -> None:
    rewrite(folder, lambda m: m.update(format_version=2, parts="in a way that we do not know"))
    assert refused(folder) == "/manifest.json: format version 2, this vicinal reads 1: update vicinal"


def test_arrays_of_another_shape_than_the_manifest_says_are_refused(folder: Path) -> None:
    rewrite(folder, lambda m: m.update(n=4))
    assert refused(folder) == (
        "/indices.npy: found int64 of shape (3, 2), expected int of shape (4, 2); save the neighbours again"
    )
    GRAPH.save(folder, overwrite=True)
    np.save(folder / "distances.npy", GRAPH.indices)
    file = folder / "distances.npy"
    rewrite(folder, lambda m: m["parts"][file.name].update(sha256=digest(file), bytes=file.stat().st_size))
    assert refused(folder).startswith("/distances.npy: found int64 of shape (3, 2), expected float of shape (3, 2)")


def test_rows_are_read_by_number_slice_and_iteration() -> None:
    found = made([[1, 2], [0, -1], [-1, -1]], [[1.0, 3.0], [1.0, np.inf], [np.inf, np.inf]], "euclidean")
    assert [(a.tolist(), b.tolist()) for a, b in found] == [([1, 2], [1, 3]), ([0], [1]), ([], [])]
    assert found[-2][0].tolist() == found[np.int64(1)][0].tolist() == [0]
    same(found[1:], made([[0, -1], [-1, -1]], [[1.0, np.inf], [np.inf, np.inf]], "euclidean"))
    same(found[::-1][:1], found[2:])
    ragged = within([0, 2, 3, 3], [1, 2, 0], [1, 3, 1], "euclidean")
    assert [(a.tolist(), b.tolist()) for a, b in ragged] == [([1, 2], [1, 3]), ([0], [1]), ([], [])]
    assert ragged[-2][0].tolist() == [0] and [len(one) for one in (ragged, ragged[1:], ragged[5:])] == [3, 2, 0]
    assert ragged[::-1].indices.tolist() == [0, 1, 2] and ragged[1:].metric == "euclidean"
    for result in (found, ragged):
        for row in (3, -4):
            with pytest.raises(IndexError):
                result[row]
        for wrong in (True, 1.0, "1", None):
            with pytest.raises(TypeError, match="expected the number of a row or a slice"):
                result[wrong]  # type: ignore[index]


def test_a_sparse_matrix_keeps_every_neighbour_even_at_distance_0() -> None:
    found = made([[1, 2], [0, -1], [1, 0]], [[0.0, 3.0], [0.0, np.inf], [2.0, 3.0]])
    matrix = found.to_csr()
    assert (matrix.shape, matrix.nnz, matrix.dtype) == ((3, 3), 5, np.float32)
    assert matrix.toarray().tolist() == [[0, 0, 3], [0, 0, 0], [3, 2, 0]]
    assert [matrix.indices[a:b].tolist() for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False)] == [
        [1, 2],
        [0],
        [1, 0],
    ]
    matrix.data[:] = 9  # the result stays as it is
    assert found.distances[0].tolist() == [0.0, 3.0]
    ragged = within([0, 2, 3, 5], [1, 2, 0, 1, 0], [0.0, 3.0, 0.0, 2.0, 3.0])
    np.testing.assert_array_equal(ragged.to_csr().toarray(), found.to_csr().toarray())
    ragged.to_csr().data[:] = 9
    assert ragged.distances.tolist() == [0.0, 3.0, 0.0, 2.0, 3.0]
    assert (
        made([[7]], [[1.0]]).to_csr(8).shape == (1, 8)
        and made(np.zeros((0, 3), int), np.zeros((0, 3))).to_csr().nnz == 0
    )
    with pytest.raises(UsageError, match="n_columns: expected more than the largest row number 7, got 1; for queries"):
        made([[7]], [[1.0]]).to_csr()
    for how in ({"own": True}, {"symmetric": True}):
        with pytest.raises(UsageError, match="expected a square matrix, found 1 rows and 8 columns"):
            made([[7]], [[1.0]]).to_csr(8, **how)


def test_a_sparse_matrix_with_each_row_itself_and_both_directions() -> None:
    found = made([[1], [0], [1]], [[0.0], [0.0], [2.0]])
    matrix = found.to_csr(own=True, symmetric=True)
    assert matrix.nnz == 7 and matrix.toarray().tolist() == [[0, 0, 0], [0, 0, 2], [0, 2, 0]]
    rows = [matrix.indices[a:b].tolist() for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False)]
    assert rows == [[0, 1], [1, 0, 2], [2, 1]]
    assert found.to_csr(symmetric=True).nnz == 4 and found.to_csr(own=True).nnz == 6


def test_copies_are_joined_in_a_symmetric_matrix_though_not_in_a_sum_with_the_transpose() -> None:
    from scipy.sparse.csgraph import connected_components

    found = made([[1], [0], [3], [2]], [[0.0]] * 4)
    graphs = found.to_csr(symmetric=True), found.to_csr() + found.to_csr().T
    assert [connected_components(graph, directed=False)[0] for graph in graphs] == [2, 4]


def test_scikit_learn_takes_the_sparse_matrix_as_precomputed() -> None:
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import KNeighborsClassifier

    vectors = np.random.default_rng(3).normal(size=(80, 4)).astype(np.float32)
    vectors[40:44] = vectors[3]
    index, labels = vicinal.Exact().fit(vectors[:60]), np.arange(60) % 3
    graph = index.neighbors(8).to_csr(own=True)
    ours = KNeighborsClassifier(5, metric="precomputed").fit(graph, labels)
    asked = index.search(vectors[60:], 8).to_csr(60)
    truth = KNeighborsClassifier(5).fit(vectors[:60], labels)
    np.testing.assert_array_equal(ours.predict(asked), truth.predict(vectors[60:]))
    near = index.within(1.2).to_csr(own=True)
    ours = DBSCAN(1.2, metric="precomputed").fit(near).labels_
    np.testing.assert_array_equal(ours, DBSCAN(1.2).fit(vectors[:60]).labels_)


KILLED_WHILE_SAVING = """
import sys
import vicinal
from vicinal.storage import manifests
write = manifests.npy.write_npy
def blocked(file, array):
    if "distances" in str(file.name):
        print("in the middle", flush=True)
        sys.stdin.read()
    write(file, array)
manifests.npy.write_npy = blocked
vicinal.Neighbors([[1], [0]], [[2.0], [2.0]]).save("g", overwrite=True)
"""


def test_a_kill_in_the_middle_of_saving_leaves_the_old_graph(folder: Path) -> None:
    child = start(KILLED_WHILE_SAVING, cwd=folder.parent)
    assert child.stdout is not None and child.stdout.readline() == "in the middle\n"
    (part,) = folder.parent.glob(".g.*.part")
    assert sorted(file.name for file in part.iterdir()) == ["distances.npy", "indices.npy"]
    child.kill()
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    same(Neighbors.load(folder), GRAPH)


def test_what_its_maker_changes_later_does_not_change_neighbors() -> None:
    indices, distances = np.array([[1, 2]]), np.array([[1, 2]], dtype=np.float32)
    found = Neighbors(indices, distances)
    indices[0, 0], distances[0, 0] = 9, 9
    assert found.indices.tolist() == [[1, 2]] and found.distances.tolist() == [[1, 2]]


def test_a_slice_of_a_data_sets_neighbours_keeps_its_ids() -> None:
    table = {"id": list("abcdef"), "v": [[float(row)] for row in (0, 1, 3, 6, 10, 15)]}
    found = vicinal.neighbors(table, 3)
    part = found[2:4]
    assert type(part) is type(found) and part.ids == found.ids and part.row_ids == ["c", "d"]
    assert [part.ids[row] for row in part.indices[0]] == ["b", "a", "d"]
    near = found.nearest(1)
    assert type(near) is type(found) and near.ids == near.row_ids == list("abcdef") and near.k == 1


def test_umap_gets_each_row_itself_first_in_arrays_of_its_own() -> None:
    found = vicinal.neighbors([[0.0], [1.0], [3.0], [3.0]], 2)
    indices, distances = found.to_umap()
    assert indices[:, 0].tolist() == [0, 1, 2, 3] and not distances[:, 0].any()
    np.testing.assert_array_equal(indices[:, 1:], found.indices)
    indices[:], distances[:] = 9, 9
    assert found.indices.max() < 4 and found.distances.max() < 9
    for wrong, said in (
        (vicinal.neighbors([[0.0], [1.0], [3.0]], 2, "inner_product"), "found inner products"),
        (found[1:3], "of another set, of a slice"),
        (vicinal.neighbors([[0.0], [np.nan], [3.0]], 1, on_invalid="null"), "1 rows have fewer"),
    ):
        with pytest.raises(UsageError, match=said):
            wrong.to_umap()


def test_rows_of_neighbours_are_structs_for_embedding_atlas() -> None:
    indices, distances = np.array([[2, 1], [0, -1], [-1, -1]]), np.array([[0.5, 1.0], [0.5, np.inf], [np.inf, np.inf]])
    found = Neighbors(indices, distances)
    assert found.to_arrow().to_pylist() == [
        {"ids": [2, 1], "distances": [0.5, 1.0]},
        {"ids": [0], "distances": [0.5]},
        {"ids": [], "distances": []},
    ]


def test_a_plain_table_of_numbers_is_told_how_to_become_vectors() -> None:
    frame = pandas.DataFrame(np.eye(4))
    for call in (vicinal.score, vicinal.outliers, vicinal.diagnose, lambda data: vicinal.duplicates(data, 1.0)):
        with pytest.raises(UsageError, match=r"if the rows are the vectors, give \.to_numpy\(\) of the table"):
            call(frame)
    assert len(vicinal.score(frame.to_numpy(), k=2)) == 4
