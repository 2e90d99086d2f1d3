"""Models of Hugging Face's transformers: keys from inside them, and their own `generate` with neighbours.

The key of a position is what goes into the last block's feed-forward network there (the paper's best choice), taken by
a hook, so that any causal model serves. The value is the token that came next.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.errors import DataError, UsageError, need, some
from vicinal.lm.datastore import Datastore, hash_of, refuse_other
from vicinal.lm.interpolation import interpolate

FEED_FORWARD = (
    "mlp",
    "ffn",
    "feed_forward",
    "feedforward",
    "block_sparse_moe",
    "fc1",
    "fc_in",
)  # a block's names for it


def load(model: str, device: str | None = None) -> tuple[Any, Any]:
    """A causal model and its tokenizer: of a folder, or of a name that transformers knows.

    Raises    UsageError where it cannot be loaded or there is no such device; MissingExtra
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
            f"--model: {model}: cannot be loaded ({reason}); give a folder with a causal model and its tokenizer, or "
            "its name"
        ) from None
    finally:
        if bars:
            logging.enable_progress_bar()
    return loaded.to(place).eval(), tokenizer


def fingerprint(model: Any, tokenizer: Any = None, layer: str | None = None) -> dict[str, Any]:
    """What tells this model and vocabulary from others: kind, sizes, checksums of the weights and of the vocabulary.

    layer : where the keys are taken; None for `last_feed_forward`
    """
    config = model.config

    def weights() -> Iterator[bytes]:
        for name, one in sorted(model.state_dict().items()):
            yield f"{name} {one.dtype} {tuple(one.shape)}".encode()
            yield one.detach().cpu().contiguous().flatten().view(need("torch", extra="hf").uint8).numpy().tobytes()

    told = {
        "model": f"{config.model_type}, {model.num_parameters():,} weights",
        "weights_sha256": hash_of(weights()),
        "n_words": int(model.get_output_embeddings().weight.shape[0]),
        "layer": layer or last_feed_forward(model),
    }
    if tokenizer is not None:
        words = json.dumps(sorted(tokenizer.get_vocab().items()))
        told["vocabulary_sha256"] = hash_of(iter([words.encode()]))
    return told


def last_feed_forward(model: Any) -> str:
    """The name of the last block's feed-forward module: in the longest list of modules, in its last entry.

    Raises    UsageError where there is none of a known name; name it as `layer`
    """
    torch = need("torch", extra="hf")
    lists = [(len(one), name, one) for name, one in model.named_modules() if isinstance(one, torch.nn.ModuleList)]
    for length, name, blocks in sorted(lists, key=lambda found: -found[0]):
        inside = dict(blocks[length - 1].named_children()) if length else {}
        for known in FEED_FORWARD:
            if known in inside:
                return f"{name}.{length - 1}.{known}"
    raise UsageError(
        f"layer: no feed-forward network found in {type(model).__name__}; name the module whose input is the key: "
        f"{some([name for name, _ in model.named_modules() if name][-8:], 8)}"
    )


class _Tap:
    """A hook that keeps what last went into a module, as (batch, length, dim)."""

    def __init__(self, model: Any, layer: str) -> None:
        try:
            module = model.get_submodule(layer)
        except AttributeError:
            raise UsageError(f"layer: {type(model).__name__} has no module {layer!r}") from None
        self.keys: Any = None
        self._handle = module.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _: Any, arguments: tuple, named: dict) -> None:
        self.keys = (arguments[0] if arguments else next(iter(named.values()))).detach()

    def of(self, batch: int) -> Any:
        """The keys of the last call, for so many sequences; some models flatten them."""
        return self.keys.reshape(batch, -1, self.keys.shape[-1])

    def remove(self) -> None:
        self._handle.remove()


@dataclass(frozen=True, eq=False)
class Block:
    """A few positions of a text.

    keys    : float32 (m, dim)
    targets : int64 (m,), the tokens that came next
    logp    : float64 (m,), the model's log p of them; NaN where it was not asked for
    """

    keys: np.ndarray
    targets: np.ndarray
    logp: np.ndarray


def blocks(
    model: Any,
    tokens: np.ndarray,
    layer: str | None = None,
    context: int | None = None,
    batch_size: int = 8,
    with_logp: bool = True,
) -> Iterator[Block]:
    """Every position of a text but the last, with its key, its next token and what the model said of it.

    tokens  : whole numbers (n,)
    context : how many tokens the model sees at once; None for what it was made for, at most 1,024. Windows overlap by
              half, so that every position beyond the first window has half a window before it
    with_logp : whether the model's log p is wanted; without it most models need not compute their logits
    """
    torch = need("torch", extra="hf")
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or len(tokens) < 2:
        raise DataError(f"tokens: expected at least 2 whole numbers, found {tokens.dtype} of {tokens.shape}")
    words = int(model.get_output_embeddings().weight.shape[0])
    if tokens.min() < 0 or tokens.max() >= words:
        raise DataError(f"tokens: found {tokens.min()} to {tokens.max()}, but the model knows 0 to {words - 1}")
    most = getattr(model.config, "max_position_embeddings", None) or 0  # 0 or below: as many as one likes
    width = context or (min(1024, most) if most > 0 else 1024)
    if not 2 <= width <= (most if most > 0 else width):
        what = f"the model sees 2 to {most} tokens at once" if most > 0 else "expected at least 2 tokens"
        raise UsageError(f"context: {what}, got {width}")
    half = max(1, width // 2)
    starts = list(range(0, max(1, len(tokens) - 1 - (width - half)), half)) or [0]
    device = next(model.parameters()).device
    few = {} if with_logp or "logits_to_keep" not in signature(model.forward).parameters else {"logits_to_keep": 1}
    tap = _Tap(model, layer or last_feed_forward(model))
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for at in range(0, len(starts), batch_size):
                group = starts[at : at + batch_size]
                length = min(width, len(tokens) - 1)
                rows = np.stack(
                    [np.pad(tokens[one : one + length], (0, max(0, one + length - len(tokens)))) for one in group]
                )
                ids = torch.from_numpy(rows.astype(np.int64)).to(device)
                logits = model(input_ids=ids, use_cache=False, **few).logits
                keys = tap.of(len(group))
                for row, one in enumerate(group):
                    first = 0 if one == 0 else width - half  # what an earlier window has told
                    last = min(length, len(tokens) - 1 - one)
                    if first >= last:
                        continue
                    targets = tokens[one + first + 1 : one + last + 1].astype(np.int64)
                    logp = np.full(len(targets), np.nan)
                    if with_logp:
                        said = logits[row, first:last].float()
                        own = said.gather(1, torch.from_numpy(targets).to(device)[:, None])[:, 0]
                        logp = (own.double() - torch.logsumexp(said, dim=-1).double()).cpu().numpy()
                    yield Block(keys[row, first:last].float().cpu().numpy(), targets, logp)
    finally:
        tap.remove()
        model.train(training)


class KNNLM:
    """A causal model with neighbours: inside `with`, or in its own `generate` and call, logits are log p of both.

    model        : any causal model of transformers
    store        : a Datastore made from it
    lambda_, T   : as of `interpolate`; k: how many neighbours
    tokenizer    : where it is given, the store must be of its vocabulary
    Raises         DataError, naming both sides, where the store is of another model or vocabulary; UsageError where
                   lambda_, T or k is out of range

    Keys are taken by a hook at the last feed-forward network's input, and logits are replaced by a hook at the model's
    output: sampling, beams and whatever else `generate` does run on the mixture. A loss that the model was asked for is
    that of the mixture. Nothing of it has a gradient.
    """

    def __init__(
        self,
        model: Any,
        store: Datastore,
        lambda_: float = 0.25,
        T: float = 10.0,  # noqa: N803
        k: int = 256,
        tokenizer: Any = None,
        layer: str | None = None,
    ) -> None:
        refuse_other(store.folder, store.about, fingerprint(model, tokenizer, layer))
        interpolate([[0.0]], [[0.0]], [[0]], lambda_, T)
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise UsageError(f"k: expected a whole number above 0, got {k!r}")
        self.model, self.store, self.lambda_, self.T, self.k = model, store, lambda_, T, min(k, len(store))
        self._layer = layer or last_feed_forward(model)
        self._tap: _Tap | None = None
        self._handle: Any = None
        self._depth = 0  # one `with` in another mixes once

    def __enter__(self) -> "KNNLM":
        self._depth += 1
        if self._depth == 1:
            self._tap = _Tap(self.model, self._layer)
            self._handle = self.model.register_forward_hook(self._mix, with_kwargs=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._tap is not None
        self._depth -= 1
        if not self._depth:
            self._tap.remove()
            self._handle.remove()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The model's output, its logits log p of the mixture."""
        with self, need("torch", extra="hf").no_grad():
            return self.model(*arguments, **named)

    def generate(self, *arguments: Any, **named: Any) -> Any:
        """The model's own `generate`, on the mixture."""
        with self:
            return self.model.generate(*arguments, **named)

    def _mix(self, _: Any, __: tuple, named: dict, output: Any) -> Any:
        torch = need("torch", extra="hf")
        assert self._tap is not None
        if isinstance(output, tuple):
            raise UsageError("return_dict=False: neighbours need the model's output with its names; leave it True")
        logits = output.logits
        batch, length, words = logits.shape
        keys = self._tap.of(batch)[:, -length:].reshape(batch * length, -1).float().cpu().numpy()
        lm_logp = torch.log_softmax(logits.detach().double(), dim=-1).reshape(-1, words).cpu().numpy()
        distances, values = self.store.search(keys, self.k)
        mixed = interpolate(lm_logp, distances, values, self.lambda_, self.T)
        output.logits = torch.from_numpy(mixed).to(logits.device, logits.dtype).reshape(logits.shape)
        labels = named.get("labels")
        if labels is not None:
            said = output.logits[:, :-1].reshape(-1, words)
            output.loss = torch.nn.functional.nll_loss(said, labels[:, 1:].reshape(-1), ignore_index=-100)
        return output
