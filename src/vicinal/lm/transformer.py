"""Keys and log probabilities of causal models of Hugging Face's transformers.

The key of a position is the input of the last block's feed-forward network there, which is the paper's best choice. A
hook takes it, so any causal model can be used. The value is the token that came next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicinal import devices
from vicinal.errors import DataError, UsageError, need, some
from vicinal.lm.datastore import hash_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FEED_FORWARD = ("mlp", "ffn", "feed_forward", "feedforward", "block_sparse_moe", "fc1", "fc_in")  # names in a block
MAX_CONTEXT = 1024  # tokens that a model is given at once by default


def load(model: str | Path, device: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal model and its tokenizer.

    Parameters
    ----------
    model : str or Path
        A folder, or a name that transformers knows.
    device : str, optional
        By default the best that there is.

    Raises
    ------
    UsageError
        Where the model cannot be loaded, or there is no such device.
    MissingExtra
        Where transformers is not installed.
    """
    library = need("transformers", extra="hf")
    place = devices.device(device, extra="hf")
    folder, logging = Path(model).is_dir(), library.utils.logging
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(model, local_files_only=folder)
        loaded = library.AutoModelForCausalLM.from_pretrained(model, local_files_only=folder)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"model: {model}: cannot be loaded ({reason}); give a folder with a causal model and its tokenizer, or "
            "its name"
        ) from None
    finally:
        if bars:
            logging.enable_progress_bar()
    return loaded.to(place).eval(), tokenizer


def fingerprint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None, layer: str | None = None
) -> dict[str, Any]:
    """Return what identifies a model and vocabulary: kind, sizes, checksums of the weights and of the vocabulary.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase, optional
    layer : str, optional
        The module whose input is the key. By default `last_feed_forward`.
    """
    config = model.config

    def weights() -> Iterator[bytes]:
        for name, one in sorted(model.state_dict().items()):
            yield f"{name} {one.dtype} {tuple(one.shape)}".encode()
            yield one.detach().cpu().contiguous().flatten().view(need("torch", extra="hf").uint8).numpy().tobytes()

    identity = {
        "model": f"{config.model_type}, {model.num_parameters():,} weights",
        "weights_sha256": hash_of(weights()),
        "n_words": int(model.get_output_embeddings().weight.shape[0]),
        "layer": layer or last_feed_forward(model),
    }
    if tokenizer is not None:
        words = json.dumps(sorted(tokenizer.get_vocab().items()))
        identity["vocabulary_sha256"] = hash_of(iter([words.encode()]))
    return identity


def last_feed_forward(model: PreTrainedModel) -> str:
    """Return the name of the last block's feed-forward module: in the last entry of the longest list of modules.

    Raises
    ------
    UsageError
        Where no module has a known name; give its name as `layer`.
    """
    torch = need("torch", extra="hf")
    lists = [(len(one), name, one) for name, one in model.named_modules() if isinstance(one, torch.nn.ModuleList)]
    for length, name, blocks in sorted(lists, key=lambda entry: -entry[0]):
        inside = dict(blocks[length - 1].named_children()) if length else {}
        for known in FEED_FORWARD:
            if known in inside:
                return f"{name}.{length - 1}.{known}"
    raise UsageError(
        f"layer: no feed-forward network found in {type(model).__name__}; give the module whose input is the key: "
        f"{some([name for name, _ in model.named_modules() if name][-8:], 8)}"
    )


class InputHook:
    """A hook that keeps the last input of a module.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    layer : str
        The name of the module.

    Raises
    ------
    UsageError
        Where the model has no such module.
    """

    def __init__(self, model: PreTrainedModel, layer: str) -> None:
        try:
            module = model.get_submodule(layer)
        except AttributeError:
            raise UsageError(f"layer: {type(model).__name__} has no module {layer!r}") from None
        self._input: Tensor | None = None
        self._handle = module.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._input = (arguments[0] if arguments else next(iter(named.values()))).detach()

    def keys_of(self, batch: int) -> Tensor:
        """Return the input of the last call as (batch, length, dim), for so many sequences; some models flatten it."""
        assert self._input is not None
        return self._input.reshape(batch, -1, self._input.shape[-1])

    def remove(self) -> None:
        """Remove the hook from the model."""
        self._handle.remove()


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive positions of a text.

    Attributes
    ----------
    keys : ndarray of float32, shape (m, dim)
    targets : ndarray of int64, shape (m,)
        The tokens that came next.
    logp : ndarray of float64, shape (m,)
        The model's log probabilities of the targets; NaN where they were not computed.
    """

    keys: NDArray[np.float32]
    targets: NDArray[np.int64]
    logp: NDArray[np.float64]


def blocks(
    model: PreTrainedModel,
    tokens: ArrayLike,
    layer: str | None = None,
    context: int | None = None,
    batch_size: int = 8,
    with_logp: bool = True,
) -> Iterator[Block]:
    """Yield every position of a text but the last, with its key, its next token and that token's log probability.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    tokens : array_like of int, shape (n,)
    layer : str, optional
        The module whose input is the key. By default the last feed-forward network.
    context : int, optional
        How many tokens the model is given at once. By default as many as it was made for, at most 1,024. Windows
        overlap by half, so every position after the first window has at least half a window before it.
    batch_size : int
        How many windows the model is given at once.
    with_logp : bool
        Whether to compute the log probabilities; without them, most models can skip their logits.

    Raises
    ------
    DataError
        Where the tokens are fewer than 2, or outside of the vocabulary.
    UsageError
        For a context that the model does not support, or a layer that it does not have.
    """
    torch = need("torch", extra="hf")
    text = _checked(model, tokens)
    width = _width(model, context)
    half, length = max(1, width // 2), min(width, len(text) - 1)
    starts = list(range(0, max(1, len(text) - 1 - (width - half)), half)) or [0]
    device = next(model.parameters()).device
    few = {} if with_logp or "logits_to_keep" not in signature(model.forward).parameters else {"logits_to_keep": 1}
    hook = InputHook(model, layer or last_feed_forward(model))
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for at in range(0, len(starts), batch_size):
                group = starts[at : at + batch_size]
                rows = np.stack(
                    [np.pad(text[one : one + length], (0, max(0, one + length - len(text)))) for one in group]
                )
                ids = torch.from_numpy(rows.astype(np.int64)).to(device)
                logits = model(input_ids=ids, use_cache=False, **few).logits
                keys = hook.keys_of(len(group))
                for row, one in enumerate(group):
                    first = 0 if one == 0 else width - half  # the positions before were in an earlier window
                    last = min(length, len(text) - 1 - one)
                    if first >= last:
                        continue
                    targets = text[one + first + 1 : one + last + 1].astype(np.int64)
                    logp = np.full(len(targets), np.nan)
                    if with_logp:
                        logp = _target_logp(logits[row, first:last], targets)
                    yield Block(keys[row, first:last].float().cpu().numpy(), targets, logp)
    finally:
        hook.remove()
        model.train(training)


def _checked(model: PreTrainedModel, tokens: ArrayLike) -> NDArray[Any]:
    """The tokens as an array, all in the model's vocabulary."""
    text = np.asarray(tokens)
    if text.ndim != 1 or text.dtype.kind not in "iu" or len(text) < 2:
        raise DataError(f"tokens: expected at least 2 whole numbers, found {text.dtype} of {text.shape}")
    n_words = int(model.get_output_embeddings().weight.shape[0])
    if text.min() < 0 or text.max() >= n_words:
        raise DataError(f"tokens: found {text.min()} to {text.max()}, but the model knows 0 to {n_words - 1}")
    return text


def _width(model: PreTrainedModel, context: int | None) -> int:
    """How many tokens the model is given at once."""
    limit = getattr(model.config, "max_position_embeddings", None) or 0  # 0 or below: no limit
    width = context or (min(MAX_CONTEXT, limit) if limit > 0 else MAX_CONTEXT)
    if not 2 <= width <= (limit if limit > 0 else width):
        what = f"the model supports 2 to {limit} tokens at once" if limit > 0 else "expected at least 2 tokens"
        raise UsageError(f"context: {what}, got {width}")
    return width


def _target_logp(logits: Tensor, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log probability of one token a row."""
    torch = need("torch", extra="hf")
    rows = logits.float()
    own = rows.gather(1, torch.from_numpy(targets).to(rows.device)[:, None])[:, 0]
    logp: NDArray[np.float64] = (own.double() - torch.logsumexp(rows, dim=-1).double()).cpu().numpy()
    return logp
