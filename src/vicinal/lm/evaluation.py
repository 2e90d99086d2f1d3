"""Perplexity with and without neighbours; lambda and T are chosen on one text and used on another."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.lm.datastore import Datastore
from vicinal.lm.interpolation import knn_weights, log_mixed, target_logp
from vicinal.lm.transformer import Block, blocks, fingerprint

LAMBDAS = tuple(round(0.05 * step, 2) for step in range(20))
T_STEPS = tuple(2.0**step for step in range(-8, 5))  # times the mean squared distance of the nearest neighbours
SEARCHED = 4_096  # positions at once


@dataclass(frozen=True, eq=False)
class Asked:
    """The positions of a text: log p of the model, and the neighbours of each.

    lm_logp : float64 (n,); distances float32 (n, k); values int32 (n, k); targets int64 (n,)
    """

    lm_logp: np.ndarray
    distances: np.ndarray
    values: np.ndarray
    targets: np.ndarray

    def perplexity(self, lambda_: float, T: float) -> float:  # noqa: N803
        """exp of minus the mean log p of the targets."""
        return float(np.exp(-target_logp(self.lm_logp, self.distances, self.values, self.targets, lambda_, T).mean()))


@dataclass(frozen=True)
class Choice:
    """The best lambda and T of a text, and its perplexities without and with neighbours."""

    lambda_: float
    T: float
    without: float
    with_neighbors: float


@dataclass(frozen=True)
class Result:
    """What neighbours do for a model on a text that nothing was chosen on.

    missing : the share of targets that no neighbour has as its value; their p_kNN is 0
    """

    tokens: int
    k: int
    without: float
    with_neighbors: float
    lambda_: float
    T: float
    missing: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def build(
    folder: str | Path,
    model: Any,
    tokens: np.ndarray,
    tokenizer: Any = None,
    dtype: str = "float16",
    context: int | None = None,
    layer: str | None = None,
    overwrite: bool = False,
    progress: Any = None,
) -> int:
    """A datastore of every position of a text but the last; gives how many there are.

    model, tokenizer : of transformers; tokens: whole numbers (n,)
    Raises             as `Datastore.create`, `blocks`
    """
    about = fingerprint(model, tokenizer, layer)
    stream = blocks(model, tokens, about["layer"], context, with_logp=False)
    first = next(stream)
    with Datastore.create(folder, first.keys.shape[1], about["n_words"], dtype, about, overwrite) as store:
        store.append(first.keys, first.targets)
        for block in stream:
            store.append(block.keys, block.targets)
            if progress is not None:
                progress(store.n, len(tokens) - 1)
        return store.n


def ask(store: Datastore, stream: Iterable[Block], k: int, progress: Any = None, total: int = 0) -> Asked:
    """The neighbours of every position of a text."""
    parts: list[tuple[np.ndarray, ...]] = []
    waiting: list[Block] = []
    done = 0

    def search() -> None:
        nonlocal done
        if waiting:
            keys = np.concatenate([one.keys for one in waiting])
            rest = (np.concatenate([getattr(one, name) for one in waiting]) for name in ("logp", "targets"))
            parts.append((*store.search(keys, k), *rest))
            done += len(keys)
            waiting.clear()
            if progress is not None:
                progress(done, total)

    for block in stream:
        waiting.append(block)
        if sum(len(one.keys) for one in waiting) >= SEARCHED:
            search()
    search()
    if not parts:
        raise DataError("a text of fewer than 2 tokens has nothing to predict")
    distances, values, lm_logp, targets = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Asked(lm_logp, distances, values, targets)


def choose(asked: Asked) -> Choice:
    """The lambda and T of least perplexity on a grid; lambda 0, which is the model alone, is in it."""
    near = asked.distances[np.isfinite(asked.distances)]
    if not len(near):
        raise DataError("no neighbour was found for any position")
    scale = float(near.mean(dtype=np.float64)) or 1.0
    without, best = asked.perplexity(0.0, 1.0), None
    for step in T_STEPS:
        weights = knn_weights(asked.distances, asked.values, scale * step)
        p_knn = np.where(asked.values == asked.targets[:, None], weights, 0.0).sum(axis=1)
        known = np.asarray(weights.any(axis=1))
        for lambda_ in LAMBDAS:
            found = float(np.exp(-log_mixed(asked.lm_logp, p_knn, known, lambda_).mean()))
            if best is None or found < best.with_neighbors:
                best = Choice(lambda_, scale * step, without, found)
    assert best is not None
    return best


def evaluate(asked: Asked, choice: Choice) -> Result:
    """The perplexities of a text at a choice that was made on another."""
    return Result(
        tokens=len(asked.targets),
        k=asked.distances.shape[1],
        without=asked.perplexity(0.0, choice.T),
        with_neighbors=asked.perplexity(choice.lambda_, choice.T),
        lambda_=choice.lambda_,
        T=choice.T,
        missing=float((asked.values != asked.targets[:, None]).all(axis=1).mean()),
    )


def read_tokens(path: str | Path, tokenizer: Any) -> np.ndarray:
    """The tokens of a text file, int64 (n,), without special ones.

    Raises    DataError where the file is not UTF-8 or has fewer than 2 tokens
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    tokens = np.array(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int64)
    if len(tokens) < 2:
        raise DataError(f"{path}: found {len(tokens)} tokens, expected at least 2")
    return tokens
