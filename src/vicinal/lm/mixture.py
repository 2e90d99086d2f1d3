"""A causal model whose logits are those of the mixture with its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vicinal.errors import UsageError, need
from vicinal.lm.datastore import Datastore, refuse_other
from vicinal.lm.interpolation import interpolate
from vicinal.lm.transformer import InputHook, fingerprint, last_feed_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class KNNLM:
    """A causal model with neighbours: its logits are the log probabilities of the mixture.

    The mixture applies inside a `with` block, and when this object is called or generates. A hook at the input of the
    last feed-forward network takes the keys, and a hook at the output of the model replaces the logits, so the model's
    own `generate` runs on the mixture: greedy, beams and sampling alike. A loss that the model computes is that of the
    mixture. Outputs have no gradient.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Any causal model.
    store : Datastore
        Made from this model.
    lambda_, T : float
        As of `interpolate`.
    k : int
        How many neighbours; at most as many as the store has keys.
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        Where it is given, the store must be of its vocabulary.
    layer : str, optional
        The module whose input is the key. By default the last feed-forward network.

    Raises
    ------
    DataError
        Where the store is of another model or vocabulary; the message names both.
    UsageError
        Where lambda_, T or k is out of range.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        store: Datastore,
        lambda_: float = 0.25,
        T: float = 10.0,  # noqa: N803
        k: int = 256,
        tokenizer: PreTrainedTokenizerBase | None = None,
        layer: str | None = None,
    ) -> None:
        refuse_other(store.folder, store.about, fingerprint(model, tokenizer, layer))
        interpolate([[0.0]], [[0.0]], [[0]], lambda_, T)
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise UsageError(f"k: expected a whole number above 0, got {k!r}")
        self.model, self.store, self.lambda_, self.T, self.k = model, store, lambda_, T, min(k, len(store))
        self._layer = layer or last_feed_forward(model)
        self._hook: InputHook | None = None
        self._handle: Any = None
        self._depth = 0  # nested `with` blocks mix once

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self._hook = InputHook(self.model, self._layer)
            self._handle = self.model.register_forward_hook(self._mix, with_kwargs=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._hook is not None
        self._depth -= 1
        if not self._depth:
            self._hook.remove()
            self._handle.remove()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the model's output with the log probabilities of the mixture as logits."""
        with self, need("torch", extra="hf").no_grad():
            return self.model(*arguments, **named)

    def generate(self, *arguments: Any, **named: Any) -> Any:
        """Return what the model's own `generate` returns, on the mixture."""
        with self:
            return self.model.generate(*arguments, **named)

    def _mix(self, _: Any, __: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        """Replace the logits of an output, and its loss where there is one."""
        torch = need("torch", extra="hf")
        assert self._hook is not None
        if isinstance(output, tuple):
            raise UsageError("return_dict=False: neighbours need a model output with names; leave return_dict at True")
        logits = output.logits
        batch, length, words = logits.shape
        keys = self._hook.keys_of(batch)[:, -length:].reshape(batch * length, -1).float().cpu().numpy()
        lm_logp = torch.log_softmax(logits.detach().double(), dim=-1).reshape(-1, words).cpu().numpy()
        distances, values = self.store.search(keys, self.k)
        mixed = interpolate(lm_logp, distances, values, self.lambda_, self.T)
        output.logits = torch.from_numpy(mixed).to(logits.device, logits.dtype).reshape(logits.shape)
        labels = named.get("labels")
        if labels is not None:
            logp = output.logits[:, :-1].reshape(-1, words)
            output.loss = torch.nn.functional.nll_loss(logp, labels[:, 1:].reshape(-1), ignore_index=-100)
        return output
