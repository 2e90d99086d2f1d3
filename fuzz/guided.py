"""What coverage guides: bytes that reach new lines of our parsers are kept and changed further, by atheris.

    python -m fuzz.guided                          every target in turn, `--seconds` each
    python -m fuzz.guided sql -max_total_time=60   one target, with options of libFuzzer and folders of inputs

A target reads bytes as a stranger's file or text. Whatever it raises must be an error of vicinal's own.
"""

import contextlib
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vicinal"]):
    from vicinal.data import sources
    from vicinal.errors import VicinalError
    from vicinal.indexes import filters
    from vicinal.sql.parse import grammar, lexer
    from vicinal.tasks.score import config

import numpy as np
import pyarrow

PLACE = Path(tempfile.mkdtemp(prefix="vicinal-guided-"))
COLUMNS = {
    "id": pyarrow.array(["a", "b", None]),
    "n": pyarrow.array([1, 2, 3]),
    "x": pyarrow.array([0.5, np.nan, None]),
}


def sql(data: bytes) -> None:
    """A script of YQL: its tokens, its comments, its statements."""
    text = data.decode("utf-8", errors="surrogateescape")
    lexer.complete(text)
    lexer.comments(text)
    grammar.parse(text)


def where(data: bytes) -> None:
    """A filter over the columns of an index."""
    filters.matches(data.decode("utf-8", errors="surrogateescape"), COLUMNS)


def yaml(data: bytes) -> None:
    """A configuration of scorers."""
    config.read_plan(_written("config.yaml", data), {})


def _file(ending: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        sources.read(_written(f"file{ending}", data))

    read.__doc__ = f"A file of embeddings that ends in {ending}."
    return read


def _written(name: str, data: bytes) -> Path:
    file = PLACE / name
    file.write_bytes(data)
    return file


ENDINGS = (".npy", ".npz", ".safetensors", ".fvecs", ".fbin", ".jsonl", ".bin", ".txt")
TARGETS = {"sql": sql, "where": where, "yaml": yaml} | {ending[1:]: _file(ending) for ending in ENDINGS}

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
TEXTS = {
    "sql": (
        "DECLARE $t AS List<Float>; SELECT id, Knn::CosineDistance(e, $t) AS d FROM T WHERE a IN (1, 2u) OR b LIKE 'x%'"
        " GROUP BY id ORDER BY d DESC LIMIT 3 OFFSET 1;",
        "CREATE TABLE `a b` (id Uint64 NOT NULL, e String, INDEX i GLOBAL USING vector_kmeans_tree ON (e) WITH"
        " (levels=2), PRIMARY KEY (id)); UPSERT INTO T (id, e) VALUES (1,"
        " Untag(Knn::ToBinaryStringFloat([1.f, 2e3]), 'f')); -- end",
        "$f = ($x) -> { RETURN If($x > 1, AsStruct($x AS a).a, <|b:2|>.b) }; SELECT"
        " ListMap([1, 2], $f), @@raw@@, 'a\\n';",
    ),
    "where": ("id in ('a', 'b') and not (n >= 2 or x is null)", "n between 1 and 2 and id like 'a%'", "x < 1e3"),
    "yaml": (
        "name: KNNScorer\nembedding_path: e.npy\nk: 3\ndistance_metric: cosine\n",
        "embedding_path: &e e.npy\nscorers:\n  - {name: KNNScorer, k: [1, 2]}\n  - name: LOFScorer\n    k: 5\n",
    ),
    "jsonl": ('{"id": 1, "e": [1, 2.5]}\n{"id": "b", "e": null}\n', '{"e": "AACAPwAAAEA="}\n'),
    "txt": ("2 3\na 1 2 3\nb 4 5 6\n", "a 1 2\nb 3 4\n"),
}


def seeds(name: str) -> list[bytes]:
    """Sound inputs of a target, from which the changes start."""
    if name in TEXTS:
        return [text.encode() for text in TEXTS[name]]
    head = np.array([2, 3], dtype="<i4").tobytes()
    if name in ("npy", "npz"):
        file = PLACE / f"seed.{name}"
        (np.save if name == "npy" else np.savez)(file, ROWS)
        return [file.read_bytes()]
    if name == "safetensors":
        header = b'{"e":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
        return [len(header).to_bytes(8, "little") + header + ROWS.tobytes()]
    if name == "fvecs":
        return [b"".join(head[4:] + row.tobytes() for row in ROWS)]
    return [head + ROWS.tobytes()] if name == "fbin" else [b"2 3\na " + ROWS[0].tobytes() + b"\nb " + ROWS[1].tobytes()]


def one(name: str, options: list[str]) -> None:
    """Run one target until libFuzzer's limit, or until it raises what is no error of vicinal's."""
    target, corpus = TARGETS[name], PLACE / "corpus"
    corpus.mkdir()
    for at, content in enumerate(seeds(name)):
        (corpus / str(at)).write_bytes(content)

    def checked(data: bytes) -> None:
        with warnings.catch_warnings(), contextlib.suppress(VicinalError):
            warnings.simplefilter("ignore")
            target(data)

    atheris.Setup([name, *options, str(corpus)], checked)
    atheris.Fuzz()


def every(seconds: int) -> int:
    """Run each target in a process of its own; 1 where one of them failed."""
    failed = 0
    for name in TARGETS:
        command = [sys.executable, "-m", "fuzz.guided", name, f"-max_total_time={seconds}", "-timeout=60"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        said = [line for line in done.stderr.splitlines() if line.startswith(("Done ", "ERROR", "SUMMARY"))]
        print(f"guided {name}: {'failed: ' + done.stderr[-2000:] if done.returncode else ' '.join(said)}", flush=True)
        failed |= int(done.returncode != 0)
    return failed


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in TARGETS:
        one(sys.argv[1], sys.argv[2:])
    else:
        sys.exit(every(int(sys.argv[2]) if sys.argv[1:2] == ["--seconds"] else 30))
