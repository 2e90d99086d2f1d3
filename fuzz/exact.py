"""Exact results against a brute force in float64: metrics, dtypes, layouts, adversarial values, kernels and ISAs."""

import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from oracle import HARD, brute_force, fit_for, hard_data
from vicinal.knn import kernels
from vicinal.knn.copies import find_copies
from vicinal.knn.kernels import native
from vicinal.knn.kernels.brute import Brute
from vicinal.knn.metrics import METRICS, find
from vicinal.knn.vectors import invalid_rows

LAYOUTS = ("plain", "fortran", "strided", "reversed", "field", "unaligned")


def drawn(random: np.random.Generator) -> np.ndarray:
    """Rows of a hard kind, or of a few values near a boundary, with copies."""
    n, dim = int(random.integers(2, 130)), int(random.choice([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 130]))
    if random.random() < 0.6:
        rows = hard_data(str(random.choice(list(HARD))), n, dim, int(random.integers(1 << 30)))
    else:
        dtype = random.choice(["f2", "f4", "f8", "i1", "u1", "i2", "i4", "u8"])
        if dtype[0] == "f":
            limits = np.finfo(dtype)
            near = [0, -0.0, 1, -1, 0.1, limits.eps, limits.tiny, limits.smallest_subnormal, 2**0.5, 1 / 3, 5, -7]
            scale = float(random.choice([1, 1, 1e-3, 1e3])) if dtype != "f2" else 1.0
            rows = (random.choice(near, (n, dim)) * scale).astype(dtype)
        else:
            about = np.iinfo(dtype)
            near = [about.min // 2, 0, 1, 2, 3, about.max // 2]
            rows = random.choice(np.array(near, dtype=np.float64), (n, dim)).astype(dtype)
    copied = random.random(n) < random.choice([0, 0, 0.3, 0.9])
    rows = rows.copy()
    rows[copied] = rows[int(random.integers(n))]
    return rows


def laid_out(rows: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another layout of memory."""
    if layout == "fortran":
        return np.asfortranarray(rows)
    if layout == "strided":
        return np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3]
    if layout == "reversed":
        return np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1]
    if layout == "field":
        records = np.zeros(len(rows), dtype=[("a", "u1"), ("v", rows.dtype, rows.shape[1:])])
        records["v"] = rows
        return records["v"]
    if layout == "unaligned":
        raw = np.zeros(rows.nbytes + 1, dtype=np.uint8)
        raw[1:] = np.frombuffer(np.ascontiguousarray(rows).tobytes(), dtype=np.uint8)
        return raw[1:].view(rows.dtype).reshape(rows.shape)
    return rows


def ways() -> list[tuple[type[kernels.Kernel], str]]:
    """Every kernel, the native one with each instruction set."""
    return [(one, isa) for one in kernels.KERNELS for isa in (native.isas() if one is native.Native else [""])]


def case(random: np.random.Generator, place: Path) -> None:
    """One set of rows, by every kernel that supports it."""
    metric = METRICS[int(random.integers(len(METRICS)))]
    rows = fit_for(metric.name, drawn(random))
    rows = np.delete(rows, list(invalid_rows(rows, metric)), axis=0)  # such as those whose length is 0 in float64
    if len(rows) < 2:
        return
    stored = laid_out(rows, str(random.choice(LAYOUTS)))
    k, threads = int(random.integers(1, len(rows) + 3)), int(random.integers(1, 4))
    own, most = brute_force(rows, None, min(k, len(rows) - 1), metric.name), min(k, len(rows) - 1)
    queries = rows[random.integers(0, len(rows), 5)]
    asked = brute_force(rows, queries, min(k, len(rows)), metric.name)
    assert len(find_copies(stored).first) == len(np.unique(rows + (0 if rows.dtype.kind != "f" else 0.0), axis=0))
    for kernel, isa in ways():
        if kernel.covers(find(metric.name), stored.dtype):
            continue
        os.environ["VICINAL_ISA"] = isa
        made = kernel(stored, metric, threads)
        for what, found, true in (
            ("self_join", made.self_join(most), own),
            ("search", made.search(queries, min(k, len(rows))), asked),
        ):
            where = f"{kernel.__name__} {isa} {what} {metric.name} {stored.dtype} {stored.shape} k={k}"
            np.testing.assert_array_equal(found[0], true[0], err_msg=where)
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(found[1].astype(np.float32), true[1], err_msg=where)
        radius = float(true[1][0, -1])
        if np.isfinite(radius):
            reference = Brute(stored, metric, 1).within(radius, queries)
            for ours, theirs in zip(made.within(radius, queries), reference, strict=True):
                np.testing.assert_array_equal(np.float32(ours), np.float32(theirs), err_msg=f"{kernel.__name__} within")
    os.environ["VICINAL_ISA"] = ""
