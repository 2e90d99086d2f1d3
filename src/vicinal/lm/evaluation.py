"""Building a datastore from a text, and the perplexity of a model with and without neighbours on another."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.lm.datastore import Datastore, KeyDtype, refuse_other
from vicinal.lm.perplexity import Choice, Positions, choose, search_positions
from vicinal.lm.transformer import blocks, fingerprint, load
from vicinal.storage import atomic, manifests

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Evaluation:
    """The perplexity of a text with and without neighbours, at a lambda and T that were chosen on another text.

    Attributes
    ----------
    tokens : int
        How many tokens were predicted.
    k : int
        How many neighbours.
    without, with_neighbors : float
        The perplexities.
    lambda_, T : float
        The choice.
    missing : float
        The share of the targets that no neighbour has as its value; their p_kNN is 0.
    validation : (float, float)
        The perplexities of the validation text, without and with neighbours.
    keys : int
        How many keys the store has.
    """

    tokens: int
    k: int
    without: float
    with_neighbors: float
    lambda_: float
    T: float
    missing: float
    validation: tuple[float, float]
    keys: int

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        change = 100 * (self.with_neighbors / self.without - 1)
        return "\n".join(
            (
                f"{'':12} {'without':>10} {'with':>10}  neighbours",
                f"{'validation':12} {self.validation[0]:>10.2f} {self.validation[1]:>10.2f}",
                f"{'text':12} {self.without:>10.2f} {self.with_neighbors:>10.2f}  {change:+.1f} %",
                f"lambda {self.lambda_:g} and T {self.T:.4g} from the validation text; k {self.k}, {self.keys:,} keys",
                f"{100 * self.missing:.1f} % of the tokens are not among their neighbours' values",
            )
        )


def build(
    text: str | Path | ArrayLike,
    model: PreTrainedModel | str | Path,
    output: str | Path,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    layer: str | None = None,
    context: int | None = None,
    dtype: KeyDtype = "float16",
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Datastore:
    """Make a datastore of every position of a text but the last. `vicinal lm build` is the same as a command.

    Parameters
    ----------
    text : str, Path or array_like of int
        The path of a UTF-8 text, or tokens (n,).
    model : transformers.PreTrainedModel, str or Path
        A causal model, a folder that holds one with its tokenizer, or its name.
    output : str or Path
        The folder to write. It appears complete or not at all.
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        By default the one that is loaded with the model. A model object and a path of a text need it.
    layer : str, optional
        The module whose input is the key. By default the last feed-forward network.
    context : int, optional
        How many tokens the model is given at once. By default as many as it was made for, at most 1,024.
    dtype : {"float16", "float32"}
        Of the keys.
    device : str, optional
        Where a model that is loaded runs. By default the best that there is.
    overwrite : bool
        Whether a store that exists is replaced.
    progress : callable, optional
        Called with the positions done, the positions in all, and a text.

    Returns
    -------
    Datastore
        Its index, an exact one, is fitted at the first search.

    Raises
    ------
    UsageError
        Where the model cannot be loaded, an argument is out of range, or the output cannot be written.
    DataError
        Where the text cannot be read or has fewer than 2 tokens.
    MissingExtra
        Where transformers is not installed.
    """
    atomic.check_folder(output, overwrite)
    if isinstance(text, str | Path):
        _check_text(text)
    model, tokenizer = _load(model, tokenizer, device)
    tokens = read_tokens(text, tokenizer)
    about = fingerprint(model, tokenizer, layer)
    stream = blocks(model, tokens, about["layer"], context, with_logp=False)
    first = next(stream)
    with Datastore.create(output, first.keys.shape[1], about["n_words"], dtype, about, overwrite) as store:
        store.append(first.keys, first.targets)
        for block in stream:
            store.append(block.keys, block.targets)
            if progress is not None:
                progress(store.n, len(tokens) - 1, "keys")
    return Datastore.open_unindexed(output, verify=False)


def evaluate(
    store: Datastore | str | Path,
    model: PreTrainedModel | str | Path,
    validation: str | Path | ArrayLike,
    text: str | Path | ArrayLike,
    *,
    k: int = 256,
    index: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    layer: str | None = None,
    context: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Return the perplexity of a text with and without neighbours. `vicinal lm eval` is the same as a command.

    lambda and T are chosen on the validation text.

    Parameters
    ----------
    store : Datastore, str or Path
        A store, or the folder of one, that was made from this model.
    model : transformers.PreTrainedModel, str or Path
        A causal model, a folder that holds one with its tokenizer, or its name.
    validation, text : str, Path or array_like of int
        The path of a UTF-8 text, or tokens (n,): the text to choose lambda and T on, and the text to report on.
    k : int
        How many neighbours.
    index : str, optional
        Over the keys, where the store is given as a folder: "auto", or any index that supports sqeuclidean. By default
        "exact".
    tokenizer, layer, context, device
        As of `build`.
    threads : int, optional
        Of the index. By default the cores of the machine.
    progress : callable, optional
        Called with the positions done, the positions in all, and a text.

    Returns
    -------
    Evaluation

    Raises
    ------
    UsageError
        Where both texts are the same, the model cannot be loaded, or an argument is out of range.
    DataError
        Where the store is of another model or vocabulary, or a text cannot be read or has fewer than 2 tokens.
    MissingExtra
        Where transformers is not installed.
    """
    _refuse_same(validation, text)
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise UsageError(f"k: expected a whole number above 0, got {k!r}")
    model, tokenizer = _load(model, tokenizer, device)
    about = fingerprint(model, tokenizer, layer)
    if isinstance(store, Datastore):
        if index is not None or threads is not None:
            raise UsageError("index and threads: apply where the store is given as a folder; this one is open already")
        refuse_other(store.folder, store.about, about)
    else:
        store = Datastore.open(store, about, index or "exact", threads)
    if k > len(store):
        warnings.warn(f"k = {k}, but the store has {len(store)} keys; using k = {len(store)}", stacklevel=2)
    texts = [read_tokens(one, tokenizer) for one in (validation, text)]
    total, before, searched = sum(len(one) - 1 for one in texts), 0, []
    for name, tokens in zip(("validation text", "text"), texts, strict=True):
        stream = blocks(model, tokens, about["layer"], context)
        tell = _offset(progress, before, total, f"neighbours of the {name}")
        searched.append(search_positions(store, stream, min(k, len(store)), tell))
        before += len(tokens) - 1
    return evaluation_at(searched[1], choose(searched[0]), len(store))


def evaluation_at(positions: Positions, choice: Choice, keys: int) -> Evaluation:
    """Return the perplexities of a text at a choice that was made on another."""
    return Evaluation(
        tokens=len(positions.targets),
        k=positions.distances.shape[1],
        without=positions.perplexity(0.0, choice.T),
        with_neighbors=positions.perplexity(choice.lambda_, choice.T),
        lambda_=choice.lambda_,
        T=choice.T,
        missing=float((positions.values != positions.targets[:, None]).all(axis=1).mean()),
        validation=(choice.without, choice.with_neighbors),
        keys=keys,
    )


def _offset(progress: Progress | None, before: int, total: int, text: str) -> Callable[[int], None] | None:
    """A callback for one of several passes, which takes the positions done in that pass."""
    if progress is None:
        return None
    return lambda done: progress(before + done, total, text)


def _load(model: Any, tokenizer: Any, device: str | None) -> tuple[PreTrainedModel, Any]:
    """The model and its tokenizer, loaded where the model is a folder or a name."""
    if isinstance(model, str | Path):
        loaded, own = load(model, device)
        return loaded, tokenizer if tokenizer is not None else own
    if device is not None:
        raise UsageError("device: applies where the model is given as a folder or name; move this one with model.to()")
    return model, tokenizer


def _refuse_same(validation: Any, text: Any) -> None:
    """Raise UsageError where lambda and T would be chosen on the text that is reported on."""
    paths = [one for one in (validation, text) if isinstance(one, str | Path)]
    for path in paths:
        _check_text(path)
    if len(paths) == 2:
        same = manifests.sha256(validation) == manifests.sha256(text)
    else:
        same = not paths and np.array_equal(validation, text)
    if same:
        raise UsageError(
            "validation and text are the same text; lambda and T must not be chosen on the text that is reported on"
        )


def _check_text(path: str | Path) -> None:
    """Raise UsageError at once where there is no such file; loading a model takes long."""
    if not Path(path).is_file():
        raise UsageError(f"{path}: expected a file with a text, found none")


def read_tokens(text: str | Path | ArrayLike, tokenizer: PreTrainedTokenizerBase | None) -> NDArray[Any]:
    """Return the tokens of a text file, int64 (n,), without special tokens; tokens are returned as they are.

    Raises
    ------
    UsageError
        Where a file needs a tokenizer, or cannot be read.
    DataError
        Where the file is not UTF-8 or has fewer than 2 tokens.
    """
    if not isinstance(text, str | Path):
        return np.asarray(text)
    if tokenizer is None:
        raise UsageError(f"{text}: a text needs a tokenizer; give tokenizer=..., or the model as a folder or name")
    try:
        content = Path(text).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{text}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except OSError as error:
        raise UsageError(f"{text}: cannot be read: {error.strerror}") from None
    tokens = np.array(tokenizer(content, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int64)
    if len(tokens) < 2:
        raise DataError(f"{text}: found {len(tokens)} tokens, expected at least 2")
    return tokens
