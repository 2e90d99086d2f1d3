"""Megabytes a second of each reader of embeddings, from the page cache, beside the format's own library.

python -m benchmarks.readers                    200 MB of float32, dim 384; the best of five
python -m benchmarks.readers --rows 20000       fewer rows
python -m benchmarks.readers --folder /mnt/x    files on another disk

A mapped file is read by the sum of its numbers, since mapping alone reads nothing. Flat formats should reach 500 MB/s,
Parquet 0.8 times pyarrow; a run whose figures are lower ends with code 1.
"""

import argparse
import json
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import sources

DIM = 384
FLAT, OF_PYARROW = 500.0, 0.8
TEXT_ROWS = 5_000


def write(folder: Path, rows: np.ndarray) -> dict[str, tuple[Path, int]]:
    """One file of each format that can be written here, with the bytes of its vectors."""
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    flat = pyarrow.array(rows.ravel())
    table = pyarrow.table({"e": pyarrow.FixedSizeListArray.from_arrays(flat, rows.shape[1])})
    lists = pyarrow.table({"e": table["e"].cast(pyarrow.list_(pyarrow.float32()))})
    few = rows[:TEXT_ROWS]
    dims = np.full((len(rows), 1), rows.shape[1], dtype="<i4").view("<f4")
    writers: dict[str, tuple[Callable[[Path], Any], np.ndarray]] = {
        "a.npy": (lambda path: np.save(path, rows), rows),
        "a.npz": (lambda path: np.savez(path, e=rows), rows),
        "a.fvecs": (lambda path: np.hstack([dims, rows]).tofile(path), rows),
        "a.fbin": (lambda path: path.write_bytes(struct.pack("<II", *rows.shape) + rows.tobytes()), rows),
        "a.parquet": (lambda path: pyarrow.parquet.write_table(table, path), rows),
        "lists.parquet": (lambda path: pyarrow.parquet.write_table(lists, path), rows),
        "a.arrow": (lambda path: pyarrow.feather.write_feather(table, str(path), compression="uncompressed"), rows),
        "a.feather": (lambda path: pyarrow.feather.write_feather(table, str(path)), rows),
        "a.safetensors": (lambda path: _safetensors(path, rows), rows),
        "a.h5": (lambda path: _hdf5(path, rows), rows),
        "a.zarr": (lambda path: _zarr(path, rows), rows),
        "a.pt": (lambda path: _torch(path, rows), rows),
        "a.jsonl": (
            lambda path: path.write_text("".join(json.dumps({"e": row.tolist()}) + "\n" for row in few)),
            few,
        ),
        "a.txt": (
            lambda path: path.write_text("".join(f"w {' '.join(map(repr, row.tolist()))}\n" for row in few)),
            few,
        ),
    }
    made = {}
    for name, (writer, kept) in writers.items():
        try:
            writer(folder / name)
        except ImportError as error:
            print(f"{name:<16} left out: {error}")
            continue
        made[name] = folder / name, kept.nbytes
    return made


def _safetensors(path: Path, rows: np.ndarray) -> None:
    from safetensors.numpy import save_file

    save_file({"e": rows}, path)


def _hdf5(path: Path, rows: np.ndarray) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["e"] = rows


def _zarr(path: Path, rows: np.ndarray) -> None:
    import zarr

    zarr.create_array(path, data=rows)


def _torch(path: Path, rows: np.ndarray) -> None:
    import torch

    torch.save(torch.from_numpy(rows), path)


def ours(path: Path) -> None:
    """Read a file as every command does, and touch each number."""
    values = sources.read(path)[0].values
    if not values.flags.owndata:  # it lies in the file
        values.sum(dtype=np.float32) if values.flags.c_contiguous else values.max(axis=1)


def by_pyarrow(path: Path) -> None:
    """The same column as one array of numbers, by pyarrow alone."""
    import pyarrow.parquet

    column = pyarrow.parquet.read_table(path, columns=["e"])["e"]
    np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])


def best(work: Callable[[Path], None], path: Path, times: int) -> float:
    """The seconds of the fastest of several calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work(path)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> int:
    """Write the files, read each, print a line a format, and say which is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=130_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    slow = []
    rows = np.random.default_rng(0).normal(size=(asked.rows, DIM)).astype(np.float32)
    flat = (".npy", ".npz", ".fvecs", ".fbin", ".safetensors", ".h5", ".arrow", ".pt")
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for name, (path, size) in write(Path(folder), rows).items():
            speed = size / 1e6 / best(ours, path, asked.times)
            line = f"{name:<16} {speed:>8,.0f} MB/s"
            if name.endswith(".parquet"):
                theirs = size / 1e6 / best(by_pyarrow, path, asked.times)
                line += f"   pyarrow {theirs:,.0f} MB/s, {speed / theirs:.2f} times"
                slow += [name] if speed < OF_PYARROW * theirs else []
            elif name.endswith(flat) and speed < FLAT:
                slow.append(name)
            print(line, flush=True)
    if slow:
        print(f"slower than wanted: {', '.join(slow)}")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
