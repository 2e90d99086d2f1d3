"""Shared by the tests of the command: small data sets on disk, the command, and scores by the definition."""

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

import vicinal
from vicinal.cli import main


def distances(vectors: np.ndarray, metric: str) -> np.ndarray:
    """All pairwise distances in float64, by the definition."""
    rows = vectors.astype(np.float64)
    if metric == "manhattan":
        return np.abs(rows[:, None] - rows[None]).sum(axis=2)
    if metric == "cosine":
        lengths = np.sqrt((rows**2).sum(axis=1))
        return 1 - rows @ rows.T / np.outer(lengths, lengths)
    assert metric == "euclidean"
    return np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=2))


def true_scores(vectors: np.ndarray, k: int, metric: str = "euclidean") -> np.ndarray:
    """The mean distance of each row to its k nearest others."""
    found = distances(vectors, metric)
    np.fill_diagonal(found, np.inf)
    return np.sort(found, axis=1)[:, :k].mean(axis=1)


def agree(found: Sequence[float | None], expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.array(found, dtype=np.float64), expected, rtol=1e-6, atol=1e-9)


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def scores(self) -> list[float | None]:
        """The scores on standard output."""
        return [record["score"] for record in self.records]


class Workplace:
    """A folder with `data.jsonl` (ids 0, 10, 20, ...) and `emb.npy`, and the command run in it."""

    def __init__(self, folder: Path, capsys: Any) -> None:
        self.folder, self._capsys = folder, capsys
        self.vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
        self.ids = list(range(0, 300, 10))
        self.save("emb.npy", self.vectors)
        self.lines("data.jsonl", [{"id": one, "text": f"text {one}"} for one in self.ids])

    def save(self, name: str, vectors: object) -> None:
        np.save(self.folder / name, np.asarray(vectors))

    def write(self, name: str, content: str | bytes) -> Path:
        content = content.encode("utf-8") if isinstance(content, str) else content
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def lines(self, name: str, rows: list) -> Path:
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def __call__(self, *arguments: object) -> Answer:
        self._capsys.readouterr()
        code = main([str(one) for one in arguments])
        out, err = self._capsys.readouterr()
        return Answer(code, out, err)

    def score(self, *arguments: object, data: str = "data.jsonl", embeddings: str = "emb.npy") -> Answer:
        return self("score", data, "--embeddings", embeddings, *arguments)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def refuses(self, code: int, *arguments: object) -> str:
        """The error message of a command that must fail with this code, write no file and print no result."""
        before = self.files()
        answer = self(*arguments)
        assert (answer.code, answer.out) == (code, ""), answer
        assert self.files() == before
        assert answer.err.startswith("vicinal: error: ") and answer.err.count("\n") == 1, answer.err
        return answer.err.removeprefix("vicinal: error: ").rstrip("\n")


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of an output file, read by libraries that vicinal itself does not use for reading."""
    if path.name.endswith(".parquet"):
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.name.endswith(".csv"):
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    text = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    return [json.loads(line) for line in text.decode("utf-8").split("\n")[:-1]]


def environment() -> dict[str, str]:
    """This process's environment, with the tested source tree on PYTHONPATH."""
    return {**os.environ, "PYTHONPATH": str(Path(vicinal.__file__).parent.parent)}


def start(code: str, *arguments: object, cwd: Path, **options: Any) -> subprocess.Popen:
    """Start a child Python process that runs the code, or the command if the code is empty."""
    program = ["-c", code] if code else ["-m", "vicinal"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, *program, *(str(one) for one in arguments)]
    return subprocess.Popen(command, cwd=cwd, env=environment(), **{**pipes, **options})
