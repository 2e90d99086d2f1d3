"""Vectors as byte strings: YDB's own cases, a float64 oracle, and one answer on every instruction set and in numpy."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vicinal.sql
from vicinal.errors import UsageError
from vicinal.knn.kernels.native import isas
from vicinal.sql.database import Database
from vicinal.sql.faults import SqlError
from vicinal.sql.vectors import binary
from vicinal.sql.vectors.binary import DISTANCES

CASES = json.loads((Path(__file__).parent / "data" / "ydb_knn_cases.json").read_text(encoding="utf-8"))["cases"]
SUFFIXES = {"Float": "f", "Double": "", "Int8": "t", "Uint8": "ut"}


@pytest.fixture(scope="module")
def db() -> Any:
    with vicinal.sql.connect() as found:
        yield found


def written(argument: Any) -> str:
    """A case's argument in YQL."""
    if argument is None:
        return "NULL"
    if "call" in argument:
        return f"Knn::{argument['call']}({', '.join(map(written, argument['args']))})"
    if "bytes_b64" in argument:
        return '"' + "".join(f"\\x{byte:02x}" for byte in base64.b64decode(argument["bytes_b64"])) + '"'
    values = argument.get("list") or [argument["repeat"][0]] * argument["repeat"][1]
    real = argument["type"] in ("Float", "Double")
    return "[" + ", ".join(f"{float(v) if real else v}{SUFFIXES[argument['type']]}" for v in values) + "]"


def test_there_are_as_many_cases_as_were_taken() -> None:
    assert len(CASES) == 126


@pytest.mark.filterwarnings("ignore:.* is NULL")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_ydbs_own_cases(db: Database, case: dict[str, Any]) -> None:
    statement = f"SELECT Knn::{case['fn']}({', '.join(map(written, case['args']))})"
    expected = case["expect"]
    if expected is not None and "error" in expected:
        with pytest.raises(SqlError) as refused:
            db.execute(statement)
        assert refused.value.message == expected["error"]
        return
    ((found,),) = db.execute(statement)
    if expected is None:
        assert found is None
    elif "bytes_b64" in expected:
        assert found == base64.b64decode(expected["bytes_b64"])
    elif "floats" in expected:
        assert found == np.array(expected["floats"], np.float32).tolist()
    else:
        assert np.float32(found) == np.float32(expected["float"])


@pytest.mark.filterwarnings("ignore:.* is NULL")
@pytest.mark.parametrize(
    "case", [one for one in CASES if one["fn"] in DISTANCES and "error" not in (one["expect"] or {})]
)
def test_the_cases_of_distances_over_stored_strings(case: dict[str, Any]) -> None:
    """Through DuckDB's scan: column against column, and column against one target."""
    strings = [written(one) for one in case["args"]]
    expected = case["expect"] and np.float32(case["expect"]["float"])
    with vicinal.sql.connect() as db:
        db.execute("CREATE TABLE T (id Int32, a String, b String, PRIMARY KEY (id))")
        db.execute(f"INSERT INTO T (id, a, b) VALUES (1, {strings[0]}, {strings[1]})")
        call = f"Knn::{case['fn']}"
        ((both, one, other),) = db.execute(
            f"SELECT {call}(a, b), {call}(a, {strings[1]}), {call}({strings[0]}, b) FROM T"
        )
    for found in (both, one, other):
        assert found is None if expected is None else np.float32(found) == expected


def column(strings: Sequence[bytes | None]) -> binary.Strings:
    return binary.Strings(pyarrow.array(strings, pyarrow.binary()))


def back(values: np.ndarray, form: str) -> np.ndarray:
    found = binary.from_binary(binary.to_binary(values, form))
    assert found is not None
    return found


def vectors(form: str, n: int, dim: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if form == "Uint8":
        return random.integers(0, 256, (n, dim), dtype=np.uint8)
    if form == "Int8":
        return random.integers(-128, 128, (n, dim), dtype=np.int8)
    return random.normal(size=(n, dim)).astype(np.float32) * 20


@pytest.mark.parametrize("dim", [1, 2, 5, 7, 13, 31, 32, 33, 63, 64, 65, 100, 384])
@pytest.mark.parametrize("form", binary.BY_NAME)
def test_every_instruction_set_and_numpy_give_the_same_bits(form: str, dim: int) -> None:
    x, y = (list(map(bytes, binary.to_binaries(vectors(form, 30, dim, seed), form))) for seed in (1, 2))
    other = binary.to_binary(vectors("Float", 1, dim + 1, 3)[0])
    a = column([*x, None, b"", b"\x63", x[0][:-1] + b"\x07", other, x[0][1:]])
    b = column([*y, y[0], y[0], y[0], y[0], y[0], y[0]])
    for name in DISTANCES:
        pairs, table = binary.by_numpy(name, a, b), binary.by_numpy(name, a, b, all_pairs=True)
        assert pairs[1].sum() == 30
        for isa in isas():
            for all_pairs, (expected, valid) in ((False, pairs), (True, table)):
                found, found_valid = binary.distances(name, a, b, all_pairs, isa)
                assert found_valid.tolist() == valid.tolist()
                assert found.tobytes() == expected.tobytes(), (name, isa, all_pairs)


ELEMENTS = st.one_of(st.just(0.0), st.floats(2.0**-10, 1024, width=32), st.floats(-1024, -(2.0**-10), width=32))
PAIRS = st.integers(1, 300).flatmap(
    lambda dim: st.tuples(*[st.lists(ELEMENTS, min_size=dim, max_size=dim) for _ in range(2)])
)


@given(PAIRS, st.sampled_from(["Float", "Float16", "BFloat16", "Int8", "Uint8", "Bit"]))
def test_distances_against_a_float64_oracle(pair: tuple[list[float], list[float]], form: str) -> None:
    """To (dim / 32 + 12) * 2^-24 of the sum of the terms' magnitudes, the bound of a float32 sum in 32 lanes."""
    arrays = [np.array(one) for one in pair]
    if form in ("Int8", "Uint8"):
        low = -128 if form == "Int8" else 0
        arrays = [np.clip(np.trunc(one), low, low + 255) for one in arrays]
    strings = [binary.to_binary(one, form) for one in arrays]
    x, y = (np.asarray(binary.from_binary(one), np.float64) for one in strings)
    bound = (len(x) / 32 + 12) * 2.0**-24
    xx, xy, yy = x @ x, x @ y, y @ y
    cosine = xy / np.sqrt(xx * yy) if xx * yy > 0 else 1.0
    euclidean = np.sqrt(((x - y) ** 2).sum())
    whole = form in ("Int8", "Uint8", "Bit")
    expected = {
        "InnerProductSimilarity": (xy, 0 if whole and abs(xy) < 1 << 24 else bound * np.abs(x * y).sum()),
        "CosineSimilarity": (cosine, 3 * bound),
        "CosineDistance": (1 - cosine, 3 * bound + 2.0**-24),
        "EuclideanDistance": (np.floor(euclidean + 1e-9), 0) if whole else (euclidean, bound * euclidean),
        "ManhattanDistance": (np.abs(x - y).sum(), bound * np.abs(x - y).sum()),
    }
    for name in DISTANCES:
        found, valid = binary.distances(name, column(strings[:1]), column(strings[1:]))
        value, tolerance = expected[name]
        assert valid[0, 0] and abs(float(found[0, 0]) - value) <= tolerance, (name, form)


@given(st.lists(st.floats(-60000, 60000, width=16), min_size=1, max_size=200))
def test_strings_give_back_what_they_keep(values: list[float]) -> None:
    array = np.array(values, np.float32)
    for form in ("Float", "Float16"):
        assert np.array_equal(back(array, form), array)
    brain = back(array, "BFloat16")
    assert (np.abs(brain - array) <= np.abs(array) * 2.0**-8 + 1e-38).all()
    assert np.array_equal(back(brain, "BFloat16"), brain)
    assert np.array_equal(back(array, "Bit"), array > 0)
    small = np.clip(np.trunc(array), -128, 127)
    assert np.array_equal(back(small, "Int8"), small)
    assert np.array_equal(back(np.abs(small), "Uint8"), np.abs(small))


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_stay_what_they_are(special: float) -> None:
    for form in ("Float", "Float16", "BFloat16"):
        found = binary.from_binary(binary.to_binary([1.0, special], form))
        assert found is not None and np.array_equal(found, np.array([1.0, special], np.float32), equal_nan=True)
    for form in ("Int8", "Uint8"):
        with pytest.raises(UsageError, match="outside"):
            binary.to_binary([special], form)


def test_bits_are_words_with_the_first_element_highest_and_the_last_byte_counts_the_unused() -> None:
    for k in (1, 3, 8, 9, 63, 64, 65, 130):
        ones = np.random.default_rng(k).random(k) < 0.5
        words = b""
        for start in range(0, k, 64):
            part = ones[start : start + 64]
            number = int("".join("1" if one else "0" for one in part), 2)
            words += number.to_bytes((len(part) + 7) // 8, "little")
        assert binary.to_binary(np.where(ones, 1.0, -1.0), "Bit") == words + bytes([-k % 8, 10])


def test_damaged_bit_strings_have_no_distance() -> None:
    good = binary.to_binary([1.0] * 3, "Bit")
    for wrong in (b"\x07\x08\x0a", b"\x09\x0a", b"\x07\xff\x0a"):
        for pair in ((good, wrong), (wrong, wrong)):
            a, b = (column([one]) for one in pair)
            assert binary.distances("ManhattanDistance", a, b)[1][0, 0] == 0
            assert binary.by_numpy("ManhattanDistance", a, b)[1][0, 0] == 0
        assert binary.from_binary(wrong) is None
