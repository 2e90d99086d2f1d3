"""Reading arrays and writing files: damaged input is named; output appears whole or not at all."""

import errno
import io
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vicinal
from vicinal import Neighbors
from vicinal.errors import DataError, DiskFull, UsageError
from vicinal.knn.checkpoint import Checkpoint
from vicinal.knn.metrics import find
from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_invalid
from vicinal.learn.applying import apply
from vicinal.learn.heads import Head
from vicinal.storage import atomic, guard, manifests
from vicinal.storage.npy import load_npy
from workplace import start


def npy(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


SMALL = npy(np.arange(6, dtype=np.float32).reshape(3, 2))


def fault(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_npy(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_an_array_cut_off_at_any_byte_is_refused(tmp_path: Path) -> None:
    for length in range(len(SMALL)):
        said = fault(tmp_path / "cut.npy", SMALL[:length])
        if length == 0:
            assert said.startswith("empty (0 bytes), expected a .npy array")
        elif length < 6:
            assert said.startswith("expected a .npy array, found a file that starts with b'\\x93")
        elif length < 128:
            assert "header cannot be read" in said and "damaged or truncated" in said
        else:
            expected = f"truncated: shape (3, 2) of float32 needs 24 bytes of data, found {length - 128}"
            assert said.startswith(expected)


@given(place=st.integers(6, 127), value=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_read_but_never_a_fault_of_ours(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(SMALL[:place] + bytes([value]) + SMALL[place + 1 :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's own, of odd headers
        try:
            assert isinstance(load_npy(path), np.ndarray)
        except DataError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


@pytest.mark.parametrize("shape", ["(-3, 2)", "(9223372036854775807, 9)", "(3, 'a')", "(((((((", "10**9"])
def test_an_impossible_shape_in_the_header_is_refused(tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    said = fault(tmp_path / "x.npy", b"\x93NUMPY\x01\x00\x76\x00" + text.encode())
    assert "header cannot be read" in said


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "opened",)

    said = fault(tmp_path / "object.npy", npy(np.array([[Bomb()]], dtype=object)))
    assert "found dtype object (pickled" in said and "shape (1, 1)" in said and "expected numbers" in said
    assert "expected a .npy array" in fault(tmp_path / "pickle.npy", pickle.dumps([[Bomb()]]))
    assert not (tmp_path / "opened").exists()


SHRINKING = """
import os, sys
import numpy as np
import vicinal
from vicinal.data.embeddings import load
from vicinal.errors import DataError

os.chdir(sys.argv[1])
np.save("a.npy", np.random.default_rng(0).normal(size=(4096, 16)).astype(np.float32))
rows = load("a.npy").vectors
assert vicinal.Exact("euclidean").fit(rows).neighbors(3).k == 3
os.truncate("a.npy", 70_000)
for work in (
    lambda: vicinal.Exact("euclidean").fit(rows).neighbors(3),
    lambda: vicinal.neighbors(rows, k=3, output="out"),
    lambda: load(rows),
):
    try:
        work()
    except DataError as error:
        assert "a.npy: became shorter while it was read" in str(error), error
    else:
        sys.exit("no error")
assert not os.path.exists("out")
del rows, work
import gc; gc.collect()
vicinal.Exact("euclidean").fit(np.eye(4)).neighbors(3)  # what does not lie in the file is not concerned
"""


def test_a_mapped_file_that_shrinks_is_an_error_and_no_output_appears(tmp_path: Path) -> None:
    if guard.LIBRARY.is_file():
        subprocess.run([sys.executable, "-c", SHRINKING, str(tmp_path)], check=True)
    array = np.ones(3)
    assert guard.watch(array, "x") is array  # what is no map is left alone


def test_other_things_than_an_array_are_named(tmp_path: Path) -> None:
    packed = io.BytesIO()
    np.savez(packed, a=np.ones((2, 2)))
    assert "found a zip archive; an archive of arrays is named .npz" in fault(tmp_path / "x.npz", packed.getvalue())
    assert "starts with b'1,2\\n3,'" in fault(tmp_path / "x.csv", b"1,2\n3,4\n")
    with pytest.raises(DataError, match=r"none\.npy: cannot be read: No such file"):
        load_npy(tmp_path / "none.npy")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_npy(tmp_path)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short; unlike a mode, it also stops root
    with socket.socket(socket.AF_UNIX) as unreadable:
        unreadable.bind("emb.npy")
        with pytest.raises(DataError, match=r"^emb\.npy: cannot be read: "):
            load_npy("emb.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8", "|i1", "|u1", ">i2", "<i8", "<u8"])
def test_every_layout_and_byte_order_gives_the_values_written(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.arange(6).reshape(3, 2).astype(dtype, order=order)  # type: ignore[call-overload]
    (tmp_path / "x.npy").write_bytes(npy(array))
    read = load_npy(tmp_path / "x.npy")
    assert isinstance(read, np.memmap) and not read.flags.writeable
    vectors = as_vectors(read)
    np.testing.assert_array_equal(vectors, [[0, 1], [2, 3], [4, 5]])
    assert vectors.dtype.isnative and (vectors.base is not None or dtype[0] == ">")


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_an_array_without_elements_is_read_with_its_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "x.npy").write_bytes(npy(np.empty(shape, np.float32)))
    assert load_npy(tmp_path / "x.npy").shape == shape


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.empty((0, 3)), "x: found shape (0, 3), expected at least 2 rows"),
        (np.ones((1, 3)), "x: found shape (1, 3), expected at least 2 rows"),
        (np.empty((3, 0)), "x: found shape (3, 0), expected at least 1 column (dim >= 1)"),
        (np.ones(3), "x: found shape (3,), expected 2-D (rows, dim); one vector is written [[...]]"),
        (np.float32(1), "x: found shape (), expected 2-D (rows, dim)"),
        (np.ones((2, 2, 2)), "x: found shape (2, 2, 2), expected 2-D (rows, dim)"),
        (np.ones((2, 2), bool), "x: found dtype bool, expected float16, float32, float64 or integers"),
        (np.ones((2, 2), complex), "x: found dtype complex128, expected float16"),
        (np.array([["a", "b"]]), "x: found dtype <U1, expected float16"),
        (np.zeros(2, [("a", "f4"), ("b", "f4")]), "x: found dtype [('a', '<f4'), ('b', '<f4')], expected float16"),
        (np.array([[1, "one"]], dtype=object), "x: found dtype object, expected float16"),
        (np.array([["2020-01-01"]], "M8[D]"), "x: found dtype datetime64[D], expected float16"),
        (np.ones((2, 2), np.longdouble), "x: found dtype "),
        ([[1.0, 2.0], [3.0]], "x: expected a 2-D array of numbers (rows, dim), found rows that differ"),
        (np.ma.masked_equal([[1.0, 2.0], [3.0, 4.0]], 2.0), "x: found masked values, expected numbers"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_with_what_was_found_and_expected(array: object, said: str) -> None:
    with pytest.raises(DataError) as caught:
        as_vectors(array, "x", at_least=2)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_invalid_row_is_found_and_no_other(dtype: type) -> None:
    vectors: np.ndarray = np.random.default_rng(0).normal(size=(5000, 600)).astype(dtype)  # several blocks
    vectors[[3, 4999], [0, 599]] = np.nan
    vectors[2500, 7] = -np.inf
    vectors[[11, 4000]] = [[0.0], [-0.0]]
    expected = {3: "NaN or infinite value", 2500: "NaN or infinite value", 4999: "NaN or infinite value"}
    assert invalid_rows(vectors, find("euclidean")) == expected
    zero = "zero vector, which has no direction for cosine"
    assert invalid_rows(vectors, find("cosine")) == dict(sorted({**expected, 11: zero, 4000: zero}.items()))


def test_invalid_rows_are_counted_and_the_first_ones_named() -> None:
    wrong = dict.fromkeys(range(2, 9), "NaN or infinite value") | {20: "value beyond 1e+37"}
    with pytest.raises(DataError) as caught:
        refuse_invalid(wrong, [f"id{row}" for row in range(30)], "emb.npy")
    assert str(caught.value).startswith(
        "emb.npy: 8 rows cannot be used (7 with NaN or infinite value: id2, id3, id4, id5, id6, ... (7 in all); "
        "1 with value beyond 1e+37: id20); correct or remove them"
    )
    with pytest.raises(DataError, match=r"^emb\.npy: 1 row cannot be used \(1 with zero: 5\)"):
        refuse_invalid({5: "zero"}, range(9), "emb.npy")


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    with atomic.whole_file(tmp_path / "x") as file:
        file.write(b"content")
        (part,) = tmp_path.iterdir()
        assert re.fullmatch(r"\.x\.[0-9a-f]{8}\.part", part.name)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"content")]


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, fault: type[BaseException]) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(fault), atomic.whole_file(tmp_path / "x", overwrite=True) as file:
        file.write(b"new")
        raise fault
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_an_output_that_is_an_input_is_refused_by_whatever_name(tmp_path: Path) -> None:
    data, link = tmp_path / "data.jsonl", tmp_path / "link.jsonl"
    data.write_text("{}\n")
    link.symlink_to(data)
    hard = tmp_path / "hard.jsonl"
    hard.hardlink_to(data)
    for output in (data, str(data), link, hard):
        for named in (data, str(link), f"{data}:label"):
            with pytest.raises(UsageError, match="is one of the inputs, and an input is never overwritten"):
                atomic.refuse_input(output, [None, np.zeros(3), named])
    others = (None, 5, np.zeros(3), "label", "a\0b", "x" * 5000, tmp_path, tmp_path / "none.jsonl", "none:x")
    atomic.refuse_input(data, others)
    atomic.refuse_input(tmp_path / "none.jsonl", [data, tmp_path / "none.jsonl"])


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"), atomic.whole_file(tmp_path / "x") as file:
        file.write(b"ours")
        (tmp_path / "x").write_bytes(b"theirs")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"theirs")]


def test_outputs_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    cases = {
        tmp_path / "file": "exists already; name another output or add --overwrite",
        tmp_path / "none" / "x": f"the folder {tmp_path / 'none'} does not exist; make it first",
        tmp_path / "file" / "x": f"{tmp_path / 'file'} is a file, expected a folder",
    }
    for path, said in cases.items():
        for check in (atomic.check_file, atomic.check_folder):
            with pytest.raises(UsageError) as caught:
                check(path, False)
            assert said in str(caught.value)
    with pytest.raises(UsageError, match="expected a file's name, found a folder"):
        atomic.check_file(tmp_path / "folder", True)
    with pytest.raises(UsageError, match="holds files that vicinal did not write"):
        atomic.check_folder(tmp_path / "file", True)
    atomic.check_file(tmp_path / "a" / "b" / "x", False, parents=True)
    with pytest.raises(UsageError, match="is a file, expected a folder"):
        atomic.check_file(tmp_path / "file" / "b" / "x", False, parents=True)


OURS = '{"format": "vicinal.test", "parts": {"a.npy": {}}}'


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"manifest.json": OURS, "notes.txt": "mine"},
        {"manifest.json": OURS.replace("vicinal", "other")},
        {"manifest.json": '{"name": "a web page"}'},
        {"manifest.json": "[]"},
        {"manifest.json": "{"},
        {"notes.txt": "mine"},
    ],
)
def test_a_folder_with_anything_that_is_not_ours_is_never_replaced(tmp_path: Path, content: dict[str, str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(UsageError, match="did not write, so it is not replaced"):
        atomic.check_folder(folder, True)
    with pytest.raises(UsageError, match="did not write"), atomic.whole_folder(folder, True):
        raise AssertionError("nothing may be written")
    assert {file.name: file.read_text() for file in folder.iterdir()} == content
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failure_leaves_the_old_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    for text in (OURS, OURS + " "):
        with atomic.whole_folder(tmp_path / "f", overwrite=True) as part:
            (part / "manifest.json").write_text(text)
    with pytest.raises(RuntimeError), atomic.whole_folder(tmp_path / "f", overwrite=True) as part:
        (part / "manifest.json").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f" / "manifest.json").read_text() == OURS + " "


KILLED_AT_RENAME = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from typing import Any
import vicinal
from vicinal.storage import atomic, guard, manifests
from vicinal.storage.npy import load_npy
rename, exchanged, wanted, calls = Path.rename, atomic._exchanged, int(sys.argv[1]), []
def killed(self, target):
    calls.append(self)
    if len(calls) == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
def killed_around(first, second):
    if wanted == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    done = exchanged(first, second)
    os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.rename = killed
atomic._exchanged = killed_around if wanted < 1 else lambda first, second: False
vicinal.Neighbors([[1], [0]], [[2.0], [2.0]]).save("graph", overwrite=True)
"""


@pytest.mark.parametrize("at", [-1, 0, 1, 2])
def test_a_kill_around_the_renames_leaves_a_whole_folder(tmp_path: Path, at: int) -> None:
    """Before and after names change places in one step; before each of two renames, where the system cannot do that."""
    graph = Neighbors(np.array([[1], [0]]), np.ones((2, 1)))
    graph.save(tmp_path / "graph")
    child = start(KILLED_AT_RENAME, at, cwd=tmp_path)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    one_step = at == 0 and sys.platform == "linux"
    if at == 2:
        assert not (tmp_path / "graph").exists()
    else:
        assert Neighbors.load(tmp_path / "graph").distances[0, 0] == (2 if one_step else 1)
    # Whatever lies beside it is whole too, and does not hinder the next run.
    beside = [(path.suffix, Neighbors.load(path).distances[0, 0]) for path in sorted(tmp_path.glob(".graph.*"))]
    assert sorted(beside) == ([(".old", 1), (".part", 2)] if at == 2 else [(".part", 1 if one_step else 2)])
    graph.save(tmp_path / "graph", overwrite=True)
    assert Neighbors.load(tmp_path / "graph").distances[0, 0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


WRITES = """
import os, sys
from vicinal.storage import atomic, guard, manifests
from vicinal.storage.npy import load_npy
file, folder = atomic.whole_file("x", overwrite=True), atomic.whole_folder("f", overwrite=True)
with file as text, folder as part:
    text.write(b"half"); text.flush()
    (part / "half.npy").write_bytes(b"half")
    if "forked" in sys.argv and os.fork():
        os.kill(os.getpid(), 9)
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
"""


@pytest.mark.parametrize("forked", [False, True])
def test_what_a_killed_run_left_goes_with_the_next_and_what_a_living_one_makes_stays(
    tmp_path: Path, forked: bool
) -> None:
    """Also where the maker itself is killed while its forked child goes on."""

    def write() -> list[str]:
        with atomic.whole_file(tmp_path / "x", overwrite=True) as file:
            file.write(b"ours")
        with atomic.whole_folder(tmp_path / "f", overwrite=True) as part:
            (part / "manifest.json").write_text(OURS)
        return sorted(path.name for path in tmp_path.iterdir())

    others = [".x.part", ".x.0123abcd.part.part", ".xx.0123abcd.part", ".x.0123ABCD.part", "x.0123abcd.part"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".x.01234567.part").symlink_to(tmp_path / "x.0123abcd.part")
    kept = [*sorted(path.name for path in tmp_path.iterdir()), "f", "x"]
    with start(WRITES, *(["forked"] if forked else []), cwd=tmp_path) as child:
        assert child.stdout is not None
        maker = int(child.stdout.readline())
        made = sorted(path.name for path in tmp_path.iterdir() if re.search(r"\.[0-9a-f]{8}\.part$", path.name))
        made = [name for name in made if name not in kept]
        assert [name[:3] for name in made] == [".f.", ".x."]
        assert write() == sorted(kept + made)
        os.kill(maker, signal.SIGKILL)
        child.communicate(timeout=60)  # its pipes end with the last process that holds them
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept + made)
    assert write() == sorted(kept)


def test_a_part_that_another_takes_for_a_leftover_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, seen = atomic._locked, []

    def late(descriptor: int) -> bool:
        seen.append(descriptor)
        if len(seen) <= 2:
            atomic.remove_leftovers(tmp_path / "x")
            atomic.remove_leftovers(tmp_path / "f")
        return lock(descriptor)

    monkeypatch.setattr(atomic, "_locked", late)
    with atomic.whole_file(tmp_path / "x") as file:
        file.write(b"whole")
    assert len(seen) == 3
    seen.clear()
    with atomic.whole_folder(tmp_path / "f") as part:
        (part / "manifest.json").write_text(OURS)
    assert len(seen) == 3
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["f", "x"]


def test_a_checkpoint_leaves_nothing_when_it_ends(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "kept", {"n": 1}, arrays=("a",))
    kept.save({"a": np.zeros(2)})
    (tmp_path / ".kept.0123abcd.part").mkdir()
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_that_names_the_output(tmp_path: Path) -> None:
    said = (
        r"{}: not enough room: needs more than there is; [\d,]+ bytes are free on its disk.*Free some, or name another"
    )
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with pytest.raises(DiskFull, match=said.format("o.jsonl")), atomic.whole_file(tmp_path / "o.jsonl"):
            raise OSError(number, os.strerror(number))
        with pytest.raises(DiskFull, match=said.format("graph")), atomic.whole_folder(tmp_path / "graph"):
            raise OSError(number, os.strerror(number))
    with pytest.raises(OSError, match="an odd fault") as caught, atomic.whole_folder(tmp_path / "graph"):
        raise OSError("an odd fault")  # a library's, without a number
    assert caught.value.filename == str(tmp_path / "graph") and "None" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_cannot_fit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    much = np.broadcast_to(np.float64(0), (1 << 40, 1 << 10))
    said = r"huge: not enough room: needs 9,007,199,254,740,992 bytes; [\d,]+ bytes are free on its disk"
    with pytest.raises(DiskFull, match=said), atomic.whole_folder(tmp_path / "huge") as part:
        manifests.write(part, KIND, {}, {"a": much})
    assert not list(tmp_path.iterdir())


def test_a_file_that_another_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"), atomic.whole_file(tmp_path / "o") as file:
        file.write(b"ours")
        (tmp_path / "o").write_text("theirs")
    assert (tmp_path / "o").read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    with atomic.whole_folder(tmp_path / "kept") as part:
        (part / "notes.txt").write_text("notes")
        fields = {"name": "x", "count": 3, "ratio": 0.5, "flag": True, "nothing": None, "negative": -1}
        manifests.write(part, KIND, fields, {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])})
    return tmp_path / "kept"


KIND = manifests.FolderKind("vicinal.test", 1, "a test", "vicinal test", "test again")


def test_a_manifest_gives_fields_and_parts_in_the_types_that_are_expected(kept: Path) -> None:
    manifest = manifests.read(kept, KIND)
    assert set(manifest.parts) == {"a.npy", "b.npy", "notes.txt"} == set(manifest.sizes())
    assert (manifest.field("name", str), manifest.count("count"), manifest.field("ratio", float)) == ("x", 3, 0.5)
    assert manifest.field("flag", bool) and manifest.optional("nothing", str) is None
    assert manifest.field("absent", int, 7) == 7 and manifest.nullable("nothing", int) is None
    assert manifest.path("notes.txt").read_text() == "notes"
    assert manifest.array("a", "f", (2, None)).tolist() == [[0, 1, 2], [3, 4, 5]] and "name" in manifest
    assert manifests.is_ours(kept)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda m: m.field("name", int), "manifest.json: not a manifest of a test: name: expected int, found 'x'"),
        (lambda m: m.field("flag", int), "flag: expected int, found True; expected a folder of `vicinal test`"),
        (lambda m: m.field("absent", str), "absent: expected str, found nothing"),
        (lambda m: m.count("negative"), "negative: expected a whole number of at least 0, found -1"),
        (lambda m: m.nullable("absent", int), "absent: expected int or null, found nothing"),
        (lambda m: m.optional("name", dict), "name: expected dict, found 'x'"),
        (lambda m: m.path("c.npy"), "manifest.json: not a manifest of a test: it names no c.npy"),
        (lambda m: m.array("a", "f", (3, 3)), "a.npy: found float64 of shape (2, 3), expected float of shape (3, 3)"),
        (lambda m: m.array("a", "f", (6,)), "expected float of shape (6); test again"),
        (lambda m: m.array("a", "iu", (2, 3)), "expected int or unsigned int of shape (2, 3); test again"),
        (lambda m: m.array("b", "f"), "b.npy: found bool of shape (2,), expected float"),
    ],
)
def test_a_manifest_that_does_not_hold_what_is_expected_says_so(kept: Path, read: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read(manifests.read(kept, KIND))
    assert str(caught.value).startswith(str(kept)) and said in str(caught.value)


FORM = {"path": str, "rows": int, "note": (str, type(None)), "of": [{"n": int}]}
GOOD = {"path": "x", "rows": 3, "note": None, "of": [{"n": 1}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": 3}, "list.1.path: expected str, found 3"),
        ({"rows": True}, "list.1.rows: expected int, found True"),
        ({"rows": "3"}, "list.1.rows: expected int, found '3'"),
        ({"note": 1}, "list.1.note: expected str or null, found 1"),
        ({"of": {}}, "list.1.of: expected list, found {}"),
        ({"of": [{"n": 1}, {"n": None}]}, "list.1.of.1.n: expected int, found None"),
        ({"of": [[]]}, "list.1.of.0: expected dict, found []"),
        ({"of": [{}]}, "list.1.of.0.n: missing"),
    ],
)
def test_records_of_a_manifest_have_the_types_of_their_form(tmp_path: Path, change: dict, said: str) -> None:
    with atomic.whole_folder(tmp_path / "kept") as part:
        manifests.write(part, KIND, {"list": [GOOD, {**GOOD, **change}], "good": [GOOD]})
    manifest = manifests.read(tmp_path / "kept", KIND)
    assert manifest.record("good", [FORM]) == [GOOD]
    with pytest.raises(DataError) as caught:
        manifest.record("list", [FORM])
    assert f"manifest.json: not a manifest of a test: {said}; expected a folder of" in str(caught.value)


def test_a_part_that_is_a_pipe_or_a_device_is_refused_and_not_waited_for(kept: Path) -> None:
    for name in ("a.npy", "notes.txt", "manifest.json"):
        before = (kept / name).read_bytes()
        for replaced in (lambda path: os.mkfifo(path), lambda path: path.symlink_to("/dev/zero")):
            (kept / name).unlink()
            replaced(kept / name)
            with pytest.raises(DataError, match="no plain file, but a folder, a pipe or a device; test again"):
                manifests.read(kept, KIND).path(name)
            assert not manifests.is_ours(kept) or name != "manifest.json"
        (kept / name).unlink()
        (kept / name).write_bytes(before)


def test_every_part_is_verified_before_it_is_parsed(kept: Path) -> None:
    for name, read in (("a.npy", lambda m: m.array("a")), ("notes.txt", lambda m: m.path("notes.txt"))):
        before = (kept / name).read_bytes()
        for content in (before[:-1], before + b"x", before[:-1] + bytes([before[-1] ^ 1])):
            (kept / name).write_bytes(content)
            with pytest.raises(DataError, match=f"{name}: damaged: its checksum is not the manifest's; test again"):
                read(manifests.read(kept, KIND))
        (kept / name).unlink()
        with pytest.raises(DataError, match=f"{name}: missing; the folder is incomplete: test again"):
            read(manifests.read(kept, KIND))
    strict = replace(KIND, error=UsageError)
    with pytest.raises(UsageError, match="missing"):
        manifests.read(kept, strict).array("a")
    for other in (replace(KIND, format="vicinal.other"), replace(KIND, version=2)):
        with pytest.raises(DataError, match=r"not a manifest of a test|format version 1, this vicinal reads 2: update"):
            manifests.read(kept, other)


@pytest.mark.parametrize("name", ["", ".", "..", "../a.npy", "/etc/passwd", "b/c", "manifest.json", "a\\b", "a\0b"])
def test_a_part_is_a_plain_file_of_its_folder(kept: Path, name: str) -> None:
    content = json.loads((kept / "manifest.json").read_text())
    content["parts"] = {name: {"sha256": ""}}
    (kept / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="parts: expected file names, each with its sha256"):
        manifests.read(kept, KIND)


def test_functions_do_not_overwrite_the_embeddings_that_they_read(tmp_path: Path) -> None:
    path = tmp_path / "emb.npy"
    np.save(path, np.eye(4, dtype=np.float32))
    before = path.read_bytes()
    head = Head({"A": np.eye(4, dtype=np.float32), "b": np.zeros(4, dtype=np.float32)})
    for write in (
        lambda: vicinal.export_benchmark(path, path, test=1, overwrite=True),
        lambda: vicinal.export_benchmark(np.eye(4), path, test=path, overwrite=True),
        lambda: apply(head, path, path, overwrite=True),
    ):
        with pytest.raises(UsageError, match=r"emb.npy: is one of the inputs, and an input is never overwritten"):
            write()
    assert path.read_bytes() == before
