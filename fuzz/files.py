"""Data files with bytes changed, through the commands: an answer, or a refusal with exit code 2 or 3."""

import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np

from vicinal.cli import main

ENDINGS = ("npy", "jsonl", "jsonl.gz", "csv", "parquet", "yaml")
PIECES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\n",
    b"\r",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b"nan",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"'",
    b"*a",
    b"&a",
)


def mutated(random: np.random.Generator, content: bytes) -> bytes:
    """Bytes with a few places flipped, cut, doubled or replaced."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        at = int(random.integers(0, len(data) + 1))
        what = int(random.integers(5))
        if what == 0 and at < len(data):
            data[at] ^= 1 << int(random.integers(8))
        elif what == 1:
            del data[at : at + int(random.integers(1, 20))]
        elif what == 2:
            data[at:at] = data[at : at + int(random.integers(1, 40))]
        elif what == 3:
            data[at:at] = PIECES[int(random.integers(len(PIECES)))]
        elif at < len(data):
            data[at] = int(random.integers(256))
    return bytes(data[: int(random.integers(len(data) + 1))]) if random.random() < 0.1 else bytes(data)


def written(random: np.random.Generator, ending: str, place: Path) -> Path:
    """A sound file of this kind."""
    from vicinal.data import tables

    file, n = place / f"data.{ending}", 12
    if ending == "npy":
        np.save(file, random.normal(size=(n, 3)).astype(random.choice(["f2", "f4", "f8", "i4"])))
    elif ending == "yaml":
        file.write_text("name: KNNScorer\nembedding_path: good.npy\nk: 3\ndistance_metric: cosine\n")
    elif ending == "csv":
        file.write_text("id,text,label\n" + "".join(f"{i},text {i},{'ab'[i % 2]}\n" for i in range(n)))
    elif ending == "parquet":
        with tables.table_writer(file, types={"text": "string"}) as table:
            for row in range(n):
                table.add({"id": row, "text": f"text {row}"})
    else:
        lines = "".join(json.dumps({"id": i, "text": f"text {i}", "label": "ab"[i % 2]}) + "\n" for i in range(n))
        import gzip

        file.write_bytes(gzip.compress(lines.encode(), mtime=0) if ending.endswith("gz") else lines.encode())
    return file


def case(random: np.random.Generator, place: Path) -> None:
    """One file of each kind is sound but one, which is changed; a command reads it."""
    np.save(place / "good.npy", random.normal(size=(12, 3)).astype(np.float32))
    (place / "good.jsonl").write_text("".join(json.dumps({"id": i, "label": "ab"[i % 2]}) + "\n" for i in range(12)))
    ending = str(random.choice(ENDINGS))
    file = written(random, ending, place)
    file.write_bytes(mutated(random, file.read_bytes()))
    if ending == "npy":
        commands = [
            ["score", "good.jsonl", "--embeddings", file.name],
            ["neighbors", file.name, "-k", "2", "-o", "graph"],
            ["duplicates", file.name],
            ["index", "build", file.name, "-o", "index"],
        ]
    elif ending == "yaml":
        commands = [["score", "good.jsonl", "--config", file.name]]
    else:
        commands = [
            ["score", file.name, "--embeddings", "good.npy"],
            ["index", "build", "good.npy", "--data", file.name, "-o", "index"],
            ["diagnose", "good.npy", "--labels", f"{file.name}:label"],
            ["sql", "import", "good.npy", "--data", file.name, "--table", "t", "--db", "x.db"],
        ]
    command = commands[int(random.integers(len(commands)))]
    err = io.StringIO()
    with contextlib.redirect_stderr(err), open(os.devnull, "w") as out, contextlib.redirect_stdout(out):
        code = main(command)
    assert code in (0, 2, 3), f"{' '.join(command)}: exit code {code}: {err.getvalue()[-300:]}"
