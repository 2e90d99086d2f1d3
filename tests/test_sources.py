"""Every way in for embeddings: each format gives the vectors that were written, and says what it cannot read."""

import base64
import contextlib
import gzip
import json
import logging
import re
import struct
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import h5py
import ml_dtypes
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
import safetensors.numpy
import safetensors.torch
import torch
import zarr

import vicinal
from vicinal.data import dataset, sources
from vicinal.data.embeddings import load
from vicinal.errors import DataError, MissingExtra, UsageError
from vicinal.knn import memory

ROWS = np.random.default_rng(3).normal(size=(23, 6)).astype(np.float32)
BYTES = np.random.default_rng(4).integers(0, 200, (23, 6)).astype(np.uint8)
WORDS = [f"w{number}é" for number in range(len(ROWS))]


def arrow(kind: Any = None, rows: np.ndarray = ROWS) -> pyarrow.Table:
    """A table of ids, vectors and labels."""
    vectors = pyarrow.array(rows.tolist(), kind or pyarrow.list_(pyarrow.float32()))
    return pyarrow.table({"id": WORDS, "e": vectors, "kind": ["x", "y"] * 11 + ["x"]})


def write_ipc(path: Path, stream: bool, table: pyarrow.Table | None = None) -> None:
    table = arrow() if table is None else table
    new = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
    with new(path, table.schema) as out:
        out.write_table(table, max_chunksize=10)


def write_lines(path: Path, of: Callable[[np.ndarray], Any]) -> None:
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(json.dumps({"id": word, "e": of(row)}) + "\n" for word, row in zip(WORDS, ROWS, strict=True))


def write_vecs(path: Path, rows: np.ndarray) -> None:
    path.write_bytes(b"".join(struct.pack("<i", rows.shape[1]) + row.tobytes() for row in rows))


def write_bin(path: Path, rows: np.ndarray) -> None:
    path.write_bytes(struct.pack("<II", *rows.shape) + rows.tobytes())


def write_words(path: Path, header: bool) -> None:
    lines = [f"{word} {' '.join(map(str, row.tolist()))}\n" for word, row in zip(WORDS, ROWS, strict=True)]
    text = (f"{len(ROWS)} {ROWS.shape[1]}\n" if header else "") + "".join(lines)
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        file.write(text.encode())


def write_word_bytes(path: Path, end: bytes) -> None:
    body = b"".join(word.encode() + b" " + row.tobytes() + end for word, row in zip(WORDS, ROWS, strict=True))
    path.write_bytes(f"{len(ROWS)} {ROWS.shape[1]}\n".encode() + body)


def write_hdf5(path: Path, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/e", data=ROWS, **options)


def in_base64(row: np.ndarray) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def write_zarr(path: Path, group: bool) -> None:
    if group:
        zarr.open_group(path, mode="w").create_array("e", data=ROWS, chunks=(5, 2))
    else:
        zarr.create_array(path, data=ROWS, chunks=(5, 2))


# name -> how it is written, the key, and whether the rows are a memory map
WRITERS: dict[str, tuple[Callable[[Path], Any], str, bool]] = {
    "a.npy": (lambda path: np.save(path, ROWS), "", True),
    "fortran.npy": (lambda path: np.save(path, np.asfortranarray(ROWS)), "", True),
    "a.npz": (lambda path: np.savez(path, e=ROWS), "e", False),
    "packed.npz": (lambda path: np.savez_compressed(path, e=ROWS), "e", False),
    "a.safetensors": (lambda path: safetensors.numpy.save_file({"e": ROWS}, path), "e", True),
    "a.parquet": (lambda path: pyarrow.parquet.write_table(arrow(), path, row_group_size=10), "e", False),
    "polars.parquet": (
        lambda path: polars.DataFrame(
            {"id": WORDS, "e": ROWS}, schema_overrides={"e": polars.Array(polars.Float32, 6)}
        ).write_parquet(path),
        "e",
        False,
    ),
    "pandas.parquet": (lambda path: pandas.DataFrame({"id": WORDS, "e": list(ROWS)}).to_parquet(path), "e", False),
    "file.arrow": (lambda path: write_ipc(path, stream=False), "e", False),
    "stream.arrow": (lambda path: write_ipc(path, stream=True), "e", False),
    "polars.ipc": (lambda path: polars.DataFrame(arrow()).write_ipc(path), "e", False),
    "a.feather": (lambda path: pyarrow.feather.write_feather(arrow(), path), "e", False),
    "saved": (lambda path: datasets.Dataset(arrow()).save_to_disk(path, num_shards=3), "e", False),
    "a.jsonl": (lambda path: write_lines(path, lambda row: row.tolist()), "e", False),
    "a.jsonl.gz": (lambda path: write_lines(path, lambda row: row.tolist()), "e", False),
    "base64.jsonl": (lambda path: write_lines(path, in_base64), "e", False),
    "a.h5": (write_hdf5, "deep/e", True),
    "chunked.hdf5": (lambda path: write_hdf5(path, chunks=(4, 4), compression="gzip"), "deep/e", False),
    "a.fvecs": (lambda path: write_vecs(path, ROWS), "", True),
    "a.fbin": (lambda path: write_bin(path, ROWS), "", True),
    "a.zarr": (lambda path: write_zarr(path, group=False), "", False),
    "group.zarr": (lambda path: write_zarr(path, group=True), "e", False),
    "a.vec": (lambda path: write_words(path, header=True), "", False),
    "a.vec.gz": (lambda path: write_words(path, header=True), "", False),
    "glove.txt": (lambda path: write_words(path, header=False), "", False),
    "gensim.bin": (lambda path: write_word_bytes(path, b""), "", False),
    "original.bin": (lambda path: write_word_bytes(path, b"\n"), "", False),
    "a.pt": (lambda path: torch.save(torch.from_numpy(ROWS), path), "", False),
    "several.pt": (lambda path: torch.save({"e": torch.from_numpy(ROWS)}, path), "e", False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_format_gives_the_vectors_that_were_written(name: str, tmp_path: Path) -> None:
    write, key, mapped = WRITERS[name]
    write(tmp_path / name)
    for spec in {str(tmp_path / name), f"{tmp_path / name}:{key}" if key else str(tmp_path / name)}:
        if spec.endswith("base64.jsonl"):
            continue  # a text is no vector unless its field is named
        found = load(spec)
        assert np.array_equal(found.vectors, ROWS), spec
        assert found.vectors.dtype == (np.float64 if name.startswith("a.jsonl") else np.float32)
        assert isinstance(found.vectors, np.memmap) == mapped
        assert found.place is not None and np.array_equal(load(found.place).vectors, ROWS)
        rows = dataset.read(spec)
        named = name.endswith((".vec", ".vec.gz", ".txt", ".bin")) or (key == "e" and "id" in _columns(name))
        assert rows.ids == (WORDS if named else list(range(len(ROWS))))
        assert np.array_equal(load(rows.embeddings, rows=rows).vectors, ROWS)


def _columns(name: str) -> set[str]:
    """The columns of a file of the table above."""
    tables = ("arrow", "ipc", "feather", "parquet", "saved", "jsonl", "jsonl.gz")
    return {"id"} if name.endswith(tables) else set()


@pytest.mark.parametrize(
    ("ending", "dtype", "write"),
    [
        (".bvecs", np.uint8, write_vecs),
        (".ivecs", np.int32, write_vecs),
        (".u8bin", np.uint8, write_bin),
        (".i8bin", np.int8, write_bin),
        (".ibin", np.int32, write_bin),
    ],
)
def test_whole_numbers_of_texmex_and_big_ann_keep_their_type(
    ending: str, dtype: type, write: Callable[[Path, np.ndarray], None], tmp_path: Path
) -> None:
    rows: np.ndarray = (BYTES // 2).astype(dtype)
    write(tmp_path / f"a{ending}", rows)
    found = load(tmp_path / f"a{ending}").vectors
    assert found.dtype == dtype and np.array_equal(found, rows)
    exact = vicinal.score(ROWS.astype(np.float64) * 0 + rows, k=3)["mean"]
    assert np.allclose(vicinal.score(tmp_path / f"a{ending}", k=3)["mean"], exact, rtol=1e-6)  # a strided view, too


NUMBERS = {
    "list": lambda inner: pyarrow.list_(inner),
    "large_list": lambda inner: pyarrow.large_list(inner),
    "fixed_size_list": lambda inner: pyarrow.list_(inner, 6),
    "list_view": lambda inner: pyarrow.list_view(inner),
}


@pytest.mark.parametrize("lists", NUMBERS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8"])
def test_a_column_of_arrow_keeps_its_number_type(lists: str, dtype: str, tmp_path: Path) -> None:
    rows: np.ndarray = np.trunc(ROWS * 20).clip(0, 100).astype(dtype)
    table = arrow(NUMBERS[lists](pyarrow.from_numpy_dtype(np.dtype(dtype))), rows)
    write_ipc(tmp_path / "a.arrow", stream=True, table=table)
    paths = [tmp_path / "a.arrow"]
    if lists != "list_view":
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        paths.append(tmp_path / "a.parquet")
    for path in paths:
        found = load(path).vectors
        assert found.dtype == np.dtype(dtype) and np.array_equal(found, rows)


def bfloat16_column() -> pyarrow.Table:
    """As Lance names bfloat16: an extension over two bytes that pyarrow does not know."""
    bits = ROWS.astype(ml_dtypes.bfloat16).view(np.uint16).tobytes()
    flat = pyarrow.FixedSizeBinaryArray.from_buffers(pyarrow.binary(2), ROWS.size, [None, pyarrow.py_buffer(bits)])
    item = pyarrow.field("item", pyarrow.binary(2), metadata={"ARROW:extension:name": "lance.bfloat16"})
    lists = pyarrow.FixedSizeListArray.from_arrays(flat, type=pyarrow.list_(item, 6))
    return pyarrow.table({"e": lists})


BFLOAT16 = ROWS.astype(ml_dtypes.bfloat16).astype(np.float32)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "packed.npz", "a.safetensors", "a.parquet", "a.arrow", "a.pt"])
def test_bfloat16_is_shifted_into_float32_exactly(name: str, tmp_path: Path) -> None:
    path, half = tmp_path / name, ROWS.astype(ml_dtypes.bfloat16)
    tensor = torch.from_numpy(ROWS).bfloat16()
    {
        "a.npy": lambda: np.save(path, half),
        "a.npz": lambda: np.savez(path, e=half),
        "packed.npz": lambda: np.savez_compressed(path, e=half),
        "a.safetensors": lambda: safetensors.torch.save_file({"e": tensor}, path),
        "a.parquet": lambda: pyarrow.parquet.write_table(bfloat16_column(), path),
        "a.arrow": lambda: write_ipc(path, stream=False, table=bfloat16_column()),
        "a.pt": lambda: torch.save(tensor, path),
    }[name]()
    found = load(path).vectors
    assert found.dtype == np.float32 and np.array_equal(found, BFLOAT16)


def test_bytes_without_a_number_type_are_refused_by_name_and_the_remedy_works(tmp_path: Path) -> None:
    small = ROWS.astype(ml_dtypes.float8_e4m3fn)
    np.save(tmp_path / "small.npy", small)
    with pytest.raises(
        DataError, match=r"dtype V1, which name no number type: .* float8_e4m3fn, .*int4, uint4"
    ) as caught:
        load(tmp_path / "small.npy")
    remedy = re.search(r"numpy\.load\(file\)(\.view.*)$", str(caught.value))
    assert remedy is not None
    file = np.load(tmp_path / "small.npy")
    repaired = eval(f"file{remedy[1]}", {"file": file, "ml_dtypes": ml_dtypes})  # what the message says
    assert np.array_equal(load(repaired).vectors, small.astype(np.float32))
    np.save(tmp_path / "other.npy", ROWS.astype(ml_dtypes.float8_e5m2))
    with pytest.raises(
        DataError, match=r"8-bit floats .*although the file is intact; save it as float32: array\.astype"
    ):
        load(tmp_path / "other.npy")
    assert np.array_equal(load(ROWS.astype(ml_dtypes.float8_e5m2)).vectors, ROWS.astype(ml_dtypes.float8_e5m2))


SEVERAL: dict[str, Callable[[Path], Any]] = {
    "a.npz": lambda path: np.savez(path, one=ROWS, two=BYTES),
    "a.safetensors": lambda path: safetensors.numpy.save_file({"one": ROWS, "two": BYTES}, path),
    "a.pt": lambda path: torch.save({"one": torch.from_numpy(ROWS), "two": torch.from_numpy(BYTES)}, path),
    "a.parquet": lambda path: pyarrow.parquet.write_table(
        pyarrow.table({"one": ROWS.tolist(), "two": BYTES.tolist()}), path
    ),
    "a.jsonl": lambda path: path.write_text(json.dumps({"one": [1.5, 2.0], "two": [3, 4]}) + "\n"),
}


def write_two(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["one"], file["two"] = ROWS, BYTES


def write_two_zarrs(path: Path) -> None:
    group = zarr.open_group(path, mode="w")
    group.create_array("one", data=ROWS)
    group.create_array("two", data=BYTES)


SEVERAL |= {"a.h5": write_two, "a.zarr": write_two_zarrs}


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_arrays_one_must_be_named_and_the_remedy_works(name: str, tmp_path: Path) -> None:
    SEVERAL[name](tmp_path / name)
    with pytest.raises(UsageError, match=r"several .*one \(.*two \(.*name one, as ") as caught:
        load(tmp_path / name)
    spec = str(caught.value).rpartition("name one, as ")[2]
    assert np.array_equal(load(spec).vectors, [[1.5, 2.0]] if name == "a.jsonl" else ROWS)
    if name != "a.jsonl":
        with pytest.raises(UsageError, match=r"unknown .* 'tow': did you mean 'two'"):
            load(f"{tmp_path / name}:tow")


def test_a_file_without_names_takes_no_key(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    with pytest.raises(UsageError, match="holds one array without a name, got the key 'e'; leave out :e"):
        load(f"{tmp_path / 'a.npy'}:e")


def test_rows_that_are_null_or_of_another_length_are_named(tmp_path: Path) -> None:
    table = pyarrow.table({"e": [[1.0, 2.0], None, [3.0, 4.0]]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    (tmp_path / "a.jsonl").write_text('{"e": [1, 2]}\n{"e": null}\n{"e": [3, 4]}\n')
    for name in ("a.parquet", "a.jsonl"):
        with pytest.raises(DataError, match=r"1 row cannot be used \(1 with no embedding \(null\): 1\)"):
            load(f"{tmp_path / name}:e")
        assert load(f"{tmp_path / name}:e", on_invalid="null").invalid == {1: "no embedding (null)"}
    pyarrow.parquet.write_table(pyarrow.table({"e": [[1.0], [1.0, 2.0]]}), tmp_path / "odd.parquet", row_group_size=1)
    with pytest.raises(DataError, match=r"row 0 has 1 numbers, 1 rows have another number \(1\)"):
        load(tmp_path / "odd.parquet")
    (tmp_path / "odd.jsonl").write_text('{"e": [1]}\n{"e": [1, 2]}\n')
    with pytest.raises(DataError, match=r"odd.jsonl:2: e: found 2 numbers, line 1 has 1"):
        load(tmp_path / "odd.jsonl")


def test_a_field_inside_others_and_base64_of_an_api_are_read(tmp_path: Path) -> None:
    answer = {"custom_id": "a", "response": {"body": {"data": [{"embedding": in_base64(ROWS[0])}]}}}
    (tmp_path / "a.jsonl").write_text(json.dumps(answer) + "\n")
    assert np.array_equal(load(f"{tmp_path / 'a.jsonl'}:response.body.data.0.embedding").vectors, ROWS[:1])
    with pytest.raises(
        UsageError, match=r"expected a field with a list of numbers, found the fields custom_id, response"
    ):
        load(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"e": "no base64"}\n')
    with pytest.raises(DataError, match=r"b\.jsonl:1: e: expected a list of numbers or base64 of float32"):
        load(f"{tmp_path / 'b.jsonl'}:e")


def test_shards_follow_each_other_in_natural_order_which_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part in range(11):
        np.save(tmp_path / f"emb-{part}.npy", ROWS[part * 2 : part * 2 + 2])
    with caplog.at_level(logging.DEBUG, logger="vicinal"):
        found = load(tmp_path)
    assert np.array_equal(found.vectors, ROWS[:22])
    assert "11 files in the order of their names: emb-0.npy, emb-1.npy, emb-2.npy, ..." in caplog.text
    assert "copied into memory: its shards become one array" in caplog.text
    np.save(tmp_path / "ids.npy", np.arange(22))
    with pytest.raises(DataError, match=r"ids\.npy: found int64 of shape \(22,\)"):
        load(tmp_path)
    assert np.array_equal(load(f"{tmp_path}:emb-*.npy").vectors, ROWS[:22])
    (tmp_path / "more.parquet").write_bytes(b"")
    with pytest.raises(UsageError, match=r"files of several kinds \(\.npy, \.parquet\); name the shards by a pattern"):
        load(tmp_path)


def test_shards_of_parquet_are_a_data_set_with_ids(tmp_path: Path) -> None:
    for part in range(3):
        pyarrow.parquet.write_table(arrow().slice(part * 8, 8), tmp_path / f"train-{part}-of-3.parquet")
    rows = dataset.read(tmp_path, fields={"labels": ("kind", "label")})
    assert rows.ids == WORDS and rows.values["labels"][:2] == ["x", "y"]
    assert np.array_equal(load(rows.embeddings, rows=rows).vectors, ROWS)
    assert np.array_equal(load(f"{tmp_path}:e").vectors, ROWS)


def test_of_several_splits_one_is_named(tmp_path: Path) -> None:
    part = datasets.Dataset(arrow())
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk(tmp_path / "saved")
    with pytest.raises(
        UsageError, match=r"holds the splits train, test; name the folder of one, such as .*/saved/train"
    ):
        load(tmp_path / "saved")
    assert np.array_equal(load(tmp_path / "saved" / "train").vectors, ROWS)


def test_lance_is_read_by_its_own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.lance").mkdir()
    with pytest.raises(MissingExtra, match=r"pip install 'vicinal\[lance\]'"):
        load(tmp_path / "a.lance")

    class Opened:
        """What lance.dataset returns, as far as it is used."""

        schema = arrow().schema

        def to_table(self, columns: list[str] | None = None) -> pyarrow.Table:
            return arrow() if columns is None else arrow().select(columns)

    monkeypatch.setitem(sys.modules, "lance", types.SimpleNamespace(dataset=lambda path: Opened()))
    assert np.array_equal(load(f"{tmp_path / 'a.lance'}:e").vectors, ROWS)
    rows = dataset.read(tmp_path / "a.lance")
    assert rows.ids == WORDS and np.array_equal(load(rows.embeddings).vectors, ROWS)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("a.safetensors", "safetensors", "safetensors"),
        ("a.h5", "h5py", "hdf5"),
        ("a.zarr", "zarr", "zarr"),
        ("a.pt", "torch", "learn"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    name: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[name][0](tmp_path / name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"this needs the package {package}: pip install 'vicinal\[{extra}\]'"):
        load(tmp_path / name)
    assert next(one for one in sources.READERS if name.endswith(one.endings)).extra == extra


class Bomb:
    """An object whose unpickling must never happen."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('opened')",))


def test_of_a_pt_file_tensors_alone_are_read(tmp_path: Path) -> None:
    torch.save({"e": torch.ones(2, 2), "bomb": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(
        DataError, match=r"not a file of tensors alone .*other objects are never opened: save the tensor"
    ):
        load(tmp_path / "bomb.pt")
    torch.save(torch.from_numpy(ROWS), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert np.array_equal(load(tmp_path / "old.pt").vectors, ROWS)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "saved" and "zarr" not in name])
def test_a_damaged_file_is_named_and_never_an_internal_error(name: str, tmp_path: Path) -> None:
    write, key, _ = WRITERS[name]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1], b"\xff" * 64, whole[:9] + b"\xff\xff\xff" + whole[12:]):
        path.write_bytes(damaged)
        # What passes the check of a format is read: a text without its last line end, a code outside of what it names.
        with contextlib.suppress(DataError, UsageError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(f"{path}:{key}" if key else path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.fvecs", "does not divide its"),
        ("a.fbin", "name 23 rows of 6 numbers"),
        ("gensim.bin", "the file is truncated"),
        ("a.vec", "expected 6"),
        ("a.npy", "truncated: shape"),
        ("a.safetensors", "not a readable .safetensors file"),
        ("a.h5", "not a readable HDF5 file"),
        ("a.parquet", "not a readable parquet file"),
        ("file.arrow", "not a readable Arrow file"),
    ],
)
def test_a_truncated_file_is_refused(name: str, said: str, tmp_path: Path) -> None:
    write, _, _ = WRITERS[name]
    write(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) - 20])
    with pytest.raises(DataError, match=re.escape(said)):
        load(tmp_path / name)


def test_words_with_blanks_and_bytes_that_are_no_text_are_read(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_bytes(b". . . 3 4\na 1 2\nc\xff 5 6\n")
    rows = dataset.read(tmp_path / "g.txt")
    assert rows.ids == [". . .", "a", "c\ufffd"]
    assert load(rows.embeddings).vectors.tolist() == [[3, 4], [1, 2], [5, 6]]
    (tmp_path / "g.txt").write_bytes(b"a 1 2\nb 3 x\n")
    with pytest.raises(DataError, match=r"g\.txt:2: found the number b'x', expected 2 numbers"):
        load(tmp_path / "g.txt")


def test_an_unknown_ending_names_the_known_ones_and_a_npy_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(UsageError, match=r"whose name ends in none of \.npy, \.npz, \.safetensors, \.parquet"):
        load(tmp_path / "a.pkl")
    with (tmp_path / "array").open("wb") as file:
        np.save(file, ROWS)
    assert np.array_equal(load(tmp_path / "array").vectors, ROWS)
    assert np.array_equal(load(dataset.read(tmp_path / "array").embeddings).vectors, ROWS)


def test_headers_with_truth_values_for_sizes_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS[:1, :1])
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole.replace(b"(1, 1), }    ", b"(True, 1), } "))
    with pytest.raises(DataError, match=r"header cannot be read \(shape \(True, 1\)\)"):
        load(tmp_path / "a.npy")


def test_the_page_lists_every_reader_with_its_endings_key_and_extra() -> None:
    page = (Path(__file__).parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    listed = {row[0]: (row[1], row[2], row[3]) for row in rows if len(row) == 8}
    for reader in sources.READERS:
        endings = ", ".join(f"`{ending}`" for ending in reader.endings)
        assert listed[reader.name] == (endings, reader.key, f"`{reader.extra}`" if reader.extra else "")


def test_a_word_with_a_blank_shifts_the_binary_form_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_word_bytes(path, b"")
    path.write_bytes(path.read_bytes().replace("w3é".encode(), "w 3é".encode()))
    with pytest.warns(
        UserWarning, match=r"1 words hold bytes that are no text \(rows 4\); a word before each may hold a"
    ):
        load(path)


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".npy", ".jsonl", ".txt", ".zarr", ".h5", ".pt"])
def test_a_file_whose_numbers_do_not_fit_the_memory_is_refused(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).normal(size=(5_000, 16)).astype(np.float32)
    path = tmp_path / f"e{ending}"
    if ending == ".npz":
        np.savez_compressed(path, rows)
    elif ending == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({"e": rows.tolist()}), path)
    elif ending == ".npy":
        np.save(path, rows.astype(ml_dtypes.bfloat16))
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps({"e": row}) + "\n" for row in rows.tolist()))
    elif ending == ".txt":
        path.write_text("".join(f"w{at} {' '.join(map(str, row))}\n" for at, row in enumerate(rows.tolist())))
    elif ending == ".zarr":
        zarr.create_array(path, data=rows, chunks=(100, 16))
    elif ending == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("e", data=rows, chunks=(100, 16))
    else:
        torch.save(torch.from_numpy(rows), path)
    monkeypatch.setenv(memory.VARIABLE, "100K")
    with pytest.raises(UsageError, match=r"not enough memory: the numbers of .* free; .*; save them as \.npy"):
        load(path)
    np.save(tmp_path / "plain.npy", rows)  # the remedy
    assert len(load(tmp_path / "plain.npy")) == 5_000
    monkeypatch.setenv(memory.VARIABLE, "100M")
    assert len(load(path)) == 5_000


@pytest.mark.parametrize("flag", [0x1, 0x20], ids=["encrypted", "patched"])
def test_an_archive_of_a_form_that_python_does_not_read_is_refused(flag: int, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "e.npz", ROWS)
    content = bytearray((tmp_path / "e.npz").read_bytes())
    for start, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of the member and of the directory
        content[content.index(start) + at] |= flag
    (tmp_path / "e.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"e\.npz: not a readable \.npz archive: "):
        load(tmp_path / "e.npz")


def test_a_link_to_a_device_is_named(tmp_path: Path) -> None:
    for name in ("v.npy", "d.jsonl"):
        (tmp_path / name).symlink_to("/dev/null")
    with pytest.raises(UsageError, match="a link to /dev/null: a device or a pipe, no plain file"):
        vicinal.neighbors(tmp_path / "v.npy", 1)
    with pytest.raises(UsageError, match="there is a link to /dev/null, which is no plain file"):
        vicinal.score(tmp_path / "d.jsonl", [[0.0], [1.0]])


def test_half_a_surrogate_pair_is_named_with_its_remedy() -> None:
    half, said = "a\ud800", "half a surrogate pair, .* at character .*, which no file of UTF-8 holds; correct the text"
    with pytest.raises(DataError, match=said):
        vicinal.score({"id": ["x", half], "e": [[0.0], [1.0]]}, "e", k=1)
    with pytest.raises(DataError, match=f"payload: t: a text holds {said}"):
        vicinal.index("exact").fit([[0.0], [1.0]], payload={"t": ["x", half]})
    with pytest.raises(UsageError, match=f"2:8: {said}"):
        vicinal.sql.connect().execute(f"SELECT\n     '{half}' AS a")
    mended = half.encode("utf-8", "replace").decode()
    vicinal.index("exact").fit([[0.0], [1.0]], payload={"t": ["x", mended]})
    with pytest.warns(UserWarning, match="payload: t: it holds whole numbers beyond 64 bits; they are kept as text"):
        vicinal.index("exact").fit([[0.0], [1.0]], payload={"t": [2**70, 1]})
