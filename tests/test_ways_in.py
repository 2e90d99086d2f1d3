"""Embeddings in memory and quantised embeddings, on every face; each remedy in a message is taken."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import datasets
import h5py
import ml_dtypes
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
import torch
from sentence_transformers.util.quantization import quantize_embeddings

import vicinal
from vicinal.cli import main
from vicinal.data import dataset
from vicinal.data.embeddings import load
from vicinal.data.encodings import looks_packed
from vicinal.errors import DataError, UsageError
from vicinal.indexes import annbenchmarks
from vicinal.indexes.evaluation import Questions, evaluate
from vicinal.knn.metrics import find

ROWS = np.random.default_rng(3).normal(size=(23, 6)).astype(np.float32)
SIGNS = np.random.default_rng(5).normal(size=(300, 64)).astype(np.float32)


def quantized(precision: Any, ranges: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(quantize_embeddings(SIGNS, precision, ranges=ranges))


UBINARY, BINARY = quantized("ubinary"), quantized("binary")


class OnlyDLPack:
    """An array that has `__dlpack__` and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class OnlyArray(OnlyDLPack):
    """An array that has `__array__` and nothing else."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array, dtype=dtype)


def object_rows(rows: list[Any]) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


OBJECTS: dict[str, Any] = {
    "list": lambda: ROWS.tolist(),
    "tuple of arrays": lambda: tuple(ROWS),
    "object array": lambda: object_rows(list(ROWS)),
    "object array of lists": lambda: object_rows([row.tolist() for row in ROWS]),
    "2-D object array": lambda: ROWS.astype(object),
    "strided": lambda: np.repeat(ROWS, 2, axis=1)[:, ::2],
    "read-only": lambda: np.frombuffer(ROWS.tobytes(), np.float32).reshape(ROWS.shape),
    "big endian": lambda: ROWS.astype(">f4"),
    "torch": lambda: torch.from_numpy(ROWS),
    "torch that requires grad": lambda: torch.from_numpy(ROWS.copy()).requires_grad_(),
    "list of torch": lambda: list(torch.from_numpy(ROWS)),
    "__array__": lambda: OnlyArray(ROWS),
    "__dlpack__": lambda: OnlyDLPack(ROWS),
    "pandas Series": lambda: pandas.Series(list(ROWS), index=range(50, 73)),
    "pandas Series of lists": lambda: pandas.Series([row.tolist() for row in ROWS]),
    "pandas columns": lambda: pandas.DataFrame(ROWS).add_prefix("e")[[f"e{place}" for place in range(6)]],
    "polars Series": lambda: polars.Series("e", ROWS.tolist(), dtype=polars.List(polars.Float32)),
    "polars columns": lambda: polars.DataFrame(ROWS),
    "Arrow": lambda: pyarrow.array(ROWS.tolist(), pyarrow.list_(pyarrow.float32())),
    "Arrow tensors": lambda: pyarrow.FixedShapeTensorArray.from_numpy_ndarray(ROWS),
    "Hugging Face column": lambda: datasets.Dataset.from_dict({"e": ROWS.tolist()})["e"],
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_of_other_libraries_give_their_numbers(kind: str) -> None:
    found = load(OBJECTS[kind]()).vectors
    assert np.array_equal(np.asarray(found, np.float32), ROWS)
    table = {"id": list(range(23)), "text": ["x"] * 23}
    assert np.array_equal(vicinal.score(table, OBJECTS[kind](), k=3)["mean"], vicinal.score(ROWS, k=3)["mean"])


@pytest.mark.parametrize("name", ["__array__", "__dlpack__", "__arrow_c_array__"])
def test_a_data_set_may_be_an_object_that_has_one_interface_alone(name: str) -> None:
    array = pyarrow.array(ROWS.tolist(), pyarrow.list_(pyarrow.float32())) if "arrow" in name else ROWS
    methods = {"__array__": lambda self, dtype=None, copy=None: ROWS} if name == "__array__" else {}
    for part in ("__dlpack__", "__dlpack_device__") if name == "__dlpack__" else ("__arrow_c_array__",):
        if name != "__array__":
            methods[part] = lambda self, *given, part=part, **named: getattr(array, part)(*given, **named)
    assert np.array_equal(vicinal.score(type("Alone", (), methods)(), k=3)["mean"], vicinal.score(ROWS, k=3)["mean"])


@pytest.mark.parametrize("kind", [kind for kind in OBJECTS if "Arrow" not in kind and "columns" not in kind])
def test_an_index_takes_what_numpy_can_be_told_to_read(kind: str) -> None:
    exact = vicinal.Exact("euclidean").fit(OBJECTS[kind]())
    assert exact.neighbors(2).indices.tolist() == vicinal.Exact("euclidean").fit(ROWS).neighbors(2).indices.tolist()


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_short_floats_in_memory_become_float32(name: str) -> None:
    theirs = ROWS.astype(getattr(ml_dtypes, name))
    assert np.array_equal(load(theirs).vectors, theirs.astype(np.float32))
    tensor = torch.from_numpy(ROWS).to(getattr(torch, name)).requires_grad_()
    assert np.array_equal(load(tensor).vectors, tensor.detach().float().numpy())
    if name == "bfloat16":
        assert np.array_equal(load(theirs.view("V2")).vectors, theirs.astype(np.float32))  # as numpy.load gives it


def test_a_column_of_datasets_keeps_float64_and_uint8() -> None:
    # datasets' own numpy format turns float64 into float32 and uint8 into int64.
    wide = datasets.Dataset(pyarrow.table({"e": pyarrow.array(ROWS.astype(np.float64).tolist())})).with_format("numpy")
    assert load(wide["e"]).vectors.dtype == np.float64
    packed = datasets.Dataset(pyarrow.table({"e": pyarrow.array([[1, 2]] * 3, pyarrow.list_(pyarrow.uint8()))}))
    assert load(packed.with_format("numpy")["e"], metric="hamming").vectors.dtype == np.uint8


def test_a_batch_of_ray_is_a_table() -> None:
    batch = {"id": np.array(["a", "b", "c"], dtype=object), "e": ROWS[:3]}  # batch_format="numpy"
    rows = dataset.read(batch)
    assert rows.ids == ["a", "b", "c"] and np.array_equal(load(rows.embeddings).vectors, ROWS[:3])


def test_missing_rows_of_an_object_array_are_named() -> None:
    column = pandas.Series([[1.0, 2.0], None, [3.0, 4.0]])
    with pytest.raises(DataError, match=r"1 row cannot be used \(1 with no embedding \(null\): 1\)"):
        load(column)
    assert load(column, on_invalid="null").invalid == {1: "no embedding (null)"}
    with pytest.raises(DataError, match="no embedding"):
        vicinal.Exact("euclidean").fit(object_rows([[1.0], None]))


TEXTS = pandas.Series(["[1, 2]", "[3, 4]"])
RAGGED = [[1.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("source", "metric", "said", "remedy"),
    [
        (TEXTS, None, "json.loads(text) for text in column", lambda: [json.loads(text) for text in TEXTS]),
        (ROWS > 0, None, ".astype('float32')", lambda: (ROWS > 0).astype("float32")),
        (ROWS.astype(np.longdouble), None, ".astype('float64')", lambda: ROWS.astype(np.longdouble).astype("float64")),
        (ROWS + 1j, None, "(.real)", lambda: (ROWS + 1j).real),
        (ROWS[0], None, "[[...]]", lambda: [ROWS[0]]),
        (ROWS, "hamming", "numpy.packbits(array > 0, axis=1)", lambda: np.packbits(ROWS > 0, axis=1)),
        (torch.eye(2).to_sparse(), None, ".to_dense()", lambda: torch.eye(2).to_sparse().to_dense()),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_the_remedy_of_a_refused_array_is_taken(source: Any, metric: Any, said: str, remedy: Any) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        load(source, metric=metric)
    assert len(load(remedy(), metric=metric)) > 0


def test_the_remedy_of_an_object_file_is_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", object_rows(list(ROWS)), allow_pickle=True)
    with pytest.raises(DataError, match=r"numpy\.stack\(numpy\.load\(file, allow_pickle=True\)\)"):
        load(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.stack(np.load(tmp_path / "a.npy", allow_pickle=True)))
    assert np.array_equal(load(tmp_path / "b.npy").vectors, ROWS)


def test_no_message_offers_an_argument_that_is_not_there() -> None:
    holes = ROWS.copy()
    holes[4] = np.nan
    faces = [
        lambda: vicinal.KNNScorer().score(holes),
        lambda: vicinal.Exact("euclidean").fit(ROWS).add(holes),
        lambda: vicinal.ExemplarSVM().fit(holes),
        lambda: vicinal.score([[1.0], None], k=1, on_invalid="error"),
    ]
    for place, face in enumerate(faces):
        with pytest.raises(DataError) as caught:
            face()
        assert ("on_invalid" in str(caught.value)) == (place == 3)
    assert "row" in str(caught.value) and len(vicinal.score([[1.0], None, [2.0]], k=1, on_invalid="null")) == 3


def test_truth_values_are_packed_under_a_metric_of_bits() -> None:
    truth = SIGNS > 0
    for metric in ("hamming", "jaccard"):
        packed = vicinal.Exact(metric).fit(UBINARY).neighbors(5)
        assert np.array_equal(vicinal.Exact(metric).fit(truth).neighbors(5).distances, packed.distances)
        assert np.allclose(vicinal.score(truth, metric=metric)["mean"], packed.distances.mean(axis=1))


@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
def test_binary_and_ubinary_of_sentence_transformers_give_the_same_distances(metric: Any) -> None:
    a, b = (SIGNS > 0)[:, None, :], (SIGNS > 0)[None, :, :]
    true = (a != b).sum(axis=2) if metric == "hamming" else 1 - (a & b).sum(axis=2) / (a | b).sum(axis=2)
    np.fill_diagonal(true := true.astype(float), np.inf)
    expected = np.sort(true, axis=1)[:, :4].mean(axis=1)
    assert np.allclose(vicinal.score(UBINARY, metric=metric, k=4)["mean"], expected, rtol=1e-6)
    for encoding, codes in (("ubinary", UBINARY), ("binary", BINARY), ("ubinary", UBINARY.astype(np.int64))):
        scores = vicinal.score(codes, metric=metric, k=4, encoding=encoding)
        assert np.allclose(scores["mean"], expected, rtol=1e-6)
    with pytest.warns(UserWarning, match="found int8, taken as packed bits less 128, the form 'binary'"):
        assert np.allclose(vicinal.score(BINARY, metric=metric, k=4)["mean"], expected, rtol=1e-6)
    wrong = vicinal.Exact("jaccard").fit(BINARY.view(np.uint8)).neighbors(4).distances.mean(axis=1)
    assert metric == "hamming" or np.abs(wrong - expected).max() > 0.01  # what .view(uint8) alone gives


def test_the_remedy_for_int8_in_an_index_of_bits_is_taken() -> None:
    with pytest.raises(DataError, match=r"becomes them by array\.view\('uint8'\) \^ 128"):
        vicinal.Exact("jaccard").fit(BINARY)
    assert np.array_equal(BINARY.view("uint8") ^ 128, UBINARY)


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_codes_with_their_ranges_are_decoded_to_within_half_a_step(precision: Any, tmp_path: Path) -> None:
    ranges = np.stack([SIGNS.min(axis=0), SIGNS.max(axis=0)])
    codes = quantized(precision, ranges)
    np.save(tmp_path / "ranges.npy", ranges)
    for encoding in ((precision, ranges), f"{precision}:{tmp_path / 'ranges.npy'}"):
        decoded = load(codes, metric="cosine", encoding=encoding).vectors
        assert (
            vicinal.diversity(codes, by="radius", encoding=encoding)["radius"]
            == vicinal.diversity(decoded, by="radius")["radius"]
        )
        step = (ranges[1] - ranges[0]) / 255
        assert decoded.dtype == np.float32 and (np.abs(decoded - SIGNS) <= step * 0.501).all()
    assert not looks_packed(codes) and looks_packed(BINARY) and looks_packed(UBINARY)
    assert load(codes, metric="euclidean").vectors.dtype == codes.dtype  # numbers as they are, without a warning
    with pytest.raises(UsageError, match=f"metric: embeddings are {precision}, which hamming does not compare; use "):
        load(codes, metric="hamming", encoding=precision)
    if precision == "int8":
        assert load(codes, metric="cosine").vectors.dtype == np.int8
        with pytest.raises(DataError, match=r"lie as codes do, .* or say --encoding binary"):
            load(codes, metric="hamming")


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean", "manhattan"])
def test_bits_under_a_metric_of_numbers_warn_or_are_refused(metric: str) -> None:
    for codes, encoding in ((UBINARY, "ubinary"), (BINARY, "binary")):
        with pytest.warns(UserWarning, match=f"lie as packed bits do, and {metric} of such bytes means nothing"):
            load(codes, metric=metric)
        with pytest.raises(UsageError, match=f"are {encoding}, which {metric} does not compare; use ham"):
            load(codes, metric=metric, encoding=encoding)


def test_unsigned_codes_warn_where_directions_are_compared() -> None:
    codes = quantized("uint8")
    for metric in ("cosine", "inner_product"):
        for encoding in (None, "uint8"):
            with pytest.warns(UserWarning, match=r"none below 0, so that all directions are alike"):
                load(codes, metric=metric, encoding=encoding)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load(codes.astype("float32"), metric=metric)  # the remedies
            load(codes, metric=metric, encoding=("uint8", np.stack([SIGNS.min(axis=0), SIGNS.max(axis=0)])))


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("bit", "encoding: unknown encoding 'bit'"),
        ("binary:ranges.npy", "binary holds bits, which have no ranges"),
        (("int8", [[0.0]]), r"found float64 of shape \(1, 1\), expected \(2, dim\) finite numbers"),
        (("int8", [[0.0], [1.0]]), "found dim 8, the ranges of its codes are of dim 1"),
        ("uint8", "found int8, but the encoding uint8 is uint8, 0 to 255; int8 is of that type"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused(encoding: Any, said: str) -> None:
    with pytest.raises((UsageError, DataError), match=said):
        load(BINARY, metric="euclidean", encoding=encoding)


@pytest.mark.parametrize("form", ["ann-benchmarks", "VIBE", "VIBE without attributes of type"])
def test_sets_of_hamming_are_packed_and_their_distances_are_bits(form: str, tmp_path: Path) -> None:
    train, test = UBINARY[:280], UBINARY[280:]
    found = vicinal.Exact("hamming").fit(train).search(test, 10)
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        file.attrs["distance"] = "hamming"
        if form == "VIBE":
            file.attrs.update({"dimension": 64, "point_type": "binary"})
        bools = form == "ann-benchmarks"
        for name, rows in (("train", train), ("test", test)):
            file[name] = np.unpackbits(rows, axis=1).astype(bool) if bools else rows
        file["neighbors"] = found.indices
        file["distances"] = found.distances / 64 if bools else found.distances.astype(float)
    read = annbenchmarks.read(tmp_path / "set.hdf5")
    assert np.array_equal(read.train, train) and np.array_equal(read.test, test)
    assert np.allclose(read.distances, found.distances, atol=1e-4)
    index = vicinal.index(data=tmp_path / "set.hdf5", type="exact")
    assert (index.metric.name, index.dim) == ("hamming", 8)
    assert vicinal.evaluate(index, queries=tmp_path / "set.hdf5", k=10)[0][1].recall == 1.0
    assert np.array_equal(load(f"{tmp_path / 'set.hdf5'}:test", metric="hamming").vectors, test)
    with pytest.warns(UserWarning, match="lie as packed bits do, and cosine"):
        load(tmp_path / "set.hdf5" if not bools else train, metric="cosine")


def test_vibe_names_of_metrics_and_wrong_distances(tmp_path: Path) -> None:
    found = vicinal.Exact("cosine").fit(SIGNS[:280]).search(SIGNS[280:], 10)
    for name, metric in (("cosine", "cosine"), ("normalized", "cosine"), ("ip", "inner_product")):
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            file.attrs["distance"] = name
            file["train"], file["test"] = SIGNS[:280], SIGNS[280:]
            file["neighbors"], file["distances"] = found.indices, found.distances
        assert annbenchmarks.read(tmp_path / f"{name}.hdf5").metric == metric
    with h5py.File(tmp_path / "wrong.hdf5", "w") as file:
        file.attrs["distance"] = "hamming"
        file["train"], file["test"] = UBINARY[:280], UBINARY[280:]
        file["neighbors"], file["distances"] = found.indices, found.distances + 100
    with pytest.raises(DataError, match="are neither numbers nor shares of differing bits"):
        annbenchmarks.read(tmp_path / "wrong.hdf5")


def test_a_distance_below_the_true_minimum_is_no_hit() -> None:
    index = vicinal.Exact("euclidean").fit(ROWS)
    true = index.search(ROWS[:5], 3).distances
    asked = Questions(ROWS[:5], None, true, ROWS)
    assert evaluate(index, asked).recall == 1.0
    doubled = Questions(ROWS[:5], None, true * 2 + 1, ROWS)
    with pytest.warns(UserWarning, match="5 of 5 queries found a row nearer than the true nearest"):
        assert evaluate(index, doubled).recall == 0
    assert find("euclidean").name == index.metric.name


def test_a_data_set_carries_its_own_embeddings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pyarrow.table({"id": [f"r{row}" for row in range(23)], "embedding": ROWS.tolist(), "kind": ["x"] * 23})
    pyarrow.parquet.write_table(table, tmp_path / "data.parquet")
    lines = [json.dumps({"id": f"r{row}", "embedding": one.tolist()}) for row, one in enumerate(ROWS)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    expected = vicinal.score(ROWS, k=3)["mean"]
    for name in ("data.parquet", "data.jsonl"):
        path = tmp_path / name
        for arguments in ((path, ":embedding"), (f"{path}:embedding",), (path,), (path, f"{path}:embedding")):
            scores = vicinal.score(*arguments, k=3)
            assert list(scores.ids) == [f"r{row}" for row in range(23)]
            assert np.allclose(scores["mean"], expected, rtol=1e-6)
        built = vicinal.index("exact", data=path)
        assert "embedding" not in (built.payload.column_names if built.payload is not None else [])
    assert main(["score", str(tmp_path / "data.parquet"), "--embeddings", ":embedding", "--by", "mean"]) == 0
    assert capsys.readouterr().out.count("\n") == 23
    scores = vicinal.score(tmp_path / "data.parquet", ":embedding", k=3)
    scores.save(tmp_path / "run")
    (tmp_path / "new.jsonl").write_text("\n".join(lines).replace('"r', '"new'))
    more = vicinal.score(append=tmp_path / "new.jsonl", embeddings=":embedding", previous=tmp_path / "run")
    assert len(more) == 46
    with pytest.raises(UsageError, match="the field of embeddings already; give it once"):
        vicinal.score(f"{tmp_path / 'data.parquet'}:embedding", "x.npy")
    with pytest.raises(UsageError, match=r"unknown .* 'embeding': did you mean 'embedding'"):
        vicinal.score(tmp_path / "data.parquet", ":embeding")


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan", "inner_product"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_rows_of_zeros_are_counted_in_one_warning_whose_remedy_works(metric: str, dtype: str) -> None:
    rows = np.round(SIGNS * 50).astype(dtype)
    rows[[4, 9, 30]] = 0
    with pytest.warns(UserWarning, match=rf"3 of 300 rows hold only zeros, .*\(4, 9, 30\); under {metric} ") as raised:
        load(rows, metric=metric)
    assert len(raised) == 1
    assert list(load(rows, metric="cosine", on_invalid="null").invalid) == [4, 9, 30]


def test_a_configuration_names_a_key_and_a_matrix_may_have_any_format(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", one=ROWS, m=np.eye(6))
    (tmp_path / "d.jsonl").write_text("".join(f'{{"id": {row}}}\n' for row in range(23)))
    (tmp_path / "k.yaml").write_text("name: KNNScorer\nembedding_path: e.npz:one\nk: 3\n")
    scores = vicinal.score(tmp_path / "d.jsonl", config=tmp_path / "k.yaml")
    assert np.array_equal(scores["KNNScorer"], vicinal.score(ROWS, k=3)["mean"])
    found = vicinal.outliers(ROWS, metric="mahalanobis", matrix=f"{tmp_path / 'e.npz'}:m")
    assert np.allclose(found["score"], vicinal.outliers(ROWS)["score"], rtol=1e-6)


def test_notices_are_printed_and_copies_are_said_at_v(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"id": range(23), "e": ROWS.tolist()}), tmp_path / "a.parquet")
    command = ["outliers", str(tmp_path / "a.parquet")]
    for options, taken, copied in (([], True, False), (["-v"], True, True), (["-q"], False, False)):
        assert main([*command, *options]) == 0
        said = capsys.readouterr().err
        assert ("a.parquet: embeddings are taken from the field 'e'" in said) == taken
        assert ("copied into memory: it is encoded" in said) == copied


def test_half_a_surrogate_pair_in_ids_in_memory_is_refused_and_the_remedy_works() -> None:
    half = "b" + chr(0xD800)
    with pytest.raises(DataError, match=r"half a surrogate pair in row 1, 'b\\ud800', .*'replace'\)\.decode\(\)"):
        vicinal.score(ROWS[:3], ids=["a", half, "c"], k=1)
    assert vicinal.score(ROWS[:3], ids=["a", half.encode("utf-8", "replace").decode(), "c"], k=1).ids[1] == "b?"
