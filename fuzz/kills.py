"""Commands killed at any moment, and disks that fill at any byte: outputs are whole, or what was there before."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

import vicinal
from vicinal import Neighbors
from vicinal.indexes import load_index

N = 1500


def prepared(random: np.random.Generator, place: Path) -> None:
    """Rows, and outputs of an earlier run."""
    rows = random.normal(size=(N, 16)).astype(np.float32)
    np.save(place / "emb.npy", rows)
    np.save(place / "more.npy", rows[:50] + 1)
    (place / "data.jsonl").write_text("".join(json.dumps({"id": row}) + "\n" for row in range(N)))
    subprocess.run(
        command("index", "build", "emb.npy", "-o", "index"), cwd=place, env=HERE, check=True, capture_output=True
    )
    subprocess.run(
        command("neighbors", "emb.npy", "-k", "2", "-o", "graph"), cwd=place, env=HERE, check=True, capture_output=True
    )
    (place / "o.jsonl").write_text("old\n")


HERE = {**os.environ, "PYTHONPATH": str(Path(vicinal.__file__).parent.parent)}


def command(*arguments: str) -> list[str]:
    """A command in a process of its own."""
    return [sys.executable, "-m", "vicinal", *arguments]


COMMANDS = (
    ("score", "data.jsonl", "--embeddings", "emb.npy", "-o", "o.jsonl", "--overwrite"),
    ("neighbors", "emb.npy", "-k", "30", "-o", "graph", "--overwrite"),
    ("index", "add", "index", "more.npy"),
    ("index", "build", "emb.npy", "-o", "index", "--overwrite"),
)


def whole(place: Path) -> None:
    """Every output is that of an earlier run or of the new one; of three commands, each may have added 50 rows."""
    lines = (place / "o.jsonl").read_text().splitlines()
    assert lines == ["old"] or len([json.loads(line) for line in lines]) == N
    assert Neighbors.load(place / "graph").k in (2, 30)
    index = load_index(place / "index", threads=1)
    assert len(index) in range(N, N + 151, 50) and index.search(index.vectors[:1], 1).indices[0, 0] == 0


def limited(n_bytes: int) -> None:
    """Let no file grow beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def case(random: np.random.Generator, place: Path) -> None:
    """Two commands that are killed, one without room, and one that ends."""
    prepared(random, place)
    for _ in range(2):
        chosen = COMMANDS[int(random.integers(len(COMMANDS)))]
        with subprocess.Popen(
            command(*chosen), cwd=place, env=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            try:
                child.wait(timeout=float(random.exponential(0.6)))
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
        whole(place)
    chosen, limit = COMMANDS[int(random.integers(len(COMMANDS)))], int(random.integers(0, 120_000))
    ended = subprocess.run(
        command(*chosen), cwd=place, env=HERE, capture_output=True, text=True, preexec_fn=lambda: limited(limit)
    )
    assert ended.returncode == 0 or (ended.returncode == 3 and "not enough room" in ended.stderr), (
        f"{chosen[:2]} with {limit} bytes: {ended.returncode}: {ended.stderr[-200:]}"
    )
    whole(place)
    assert subprocess.run(command(*COMMANDS[0]), cwd=place, env=HERE, capture_output=True).returncode == 0
    left = [name for name in os.listdir(place) if name.endswith(".part") and name.startswith(".o.jsonl")]
    assert not left, left
