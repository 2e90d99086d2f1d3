"""Embedding models of sentence-transformers: load one, embed texts, find texts that are too long for it."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.errors import UsageError, need
from vicinal.storage import manifests


@dataclass(frozen=True)
class Encoded:
    """The embeddings of a block of texts.

    vectors : (n, dim); without columns where there are no texts
    cut     : the places of the texts that are longer than the model reads
    longest : how many tokens of a text the model reads; None where it reads all
    """

    vectors: np.ndarray
    cut: list[int]
    longest: int | None


def text_embedder(model: str, normalize: bool = False, device: str | None = None) -> Callable[[list[str]], np.ndarray]:
    """Return a function that embeds texts: a list of texts -> float32 (n, dim).

    Parameters
    ----------
    model : str
        A folder that holds a sentence-transformers model, or a name that sentence-transformers knows. It is loaded at
        once.
    normalize : bool
        Whether rows are scaled to length 1.
    device : str, optional
        Where the model runs: "cpu", "cuda", ...; the best one by default.

    Raises
    ------
    UsageError
        The model cannot be loaded.
    MissingExtra
        sentence-transformers is not installed.
    """
    return partial(encode, load_model(model, device), normalize=normalize)  # which pickle can take


def load_model(model: str, device: str | None) -> Any:
    """Return a sentence-transformers model; a folder is never looked up anywhere else.

    Raises
    ------
    UsageError
        It cannot be loaded.
    """
    library = need("sentence_transformers", extra="embed")
    device = None if device == devices.AUTO else device  # which sentence-transformers takes for the best
    folder = Path(model).is_dir()
    try:
        return library.SentenceTransformer(model, device=device, local_files_only=folder)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"model: {model}: cannot be loaded ({reason}); give a folder that holds a sentence-transformers model, or "
            "its name"
        ) from None


def encode(encoder: Any, texts: list[str], normalize: bool, batch_size: int = 32) -> np.ndarray:
    """Return the embeddings of texts, (n, dim)."""
    return np.asarray(
        encoder.encode(
            texts,
            batch_size=batch_size,
            normalize_embeddings=normalize,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
    )


def encode_block(encoder: Any, texts: list[str], normalize: bool, batch_size: int) -> Encoded:
    """Return the embeddings of a block of texts, which may have none."""
    vectors = encode(encoder, texts, normalize, batch_size) if texts else np.zeros((0, 0), np.float32)
    return Encoded(vectors, texts_cut(encoder, texts) if texts else [], longest_text(encoder))


def longest_text(encoder: Any) -> int | None:
    """Return how many tokens of a text the model reads; None where it reads all."""
    longest = getattr(encoder, "max_seq_length", None)
    return int(longest) if longest is not None and math.isfinite(longest) else None


def texts_cut(encoder: Any, texts: list[str]) -> list[int]:
    """Return the places of the texts that are longer than the model reads."""
    longest = longest_text(encoder)
    if longest is None:
        return []
    # The prompt before each text counts too. A character may be several tokens, so every text is tokenised.
    prompt = getattr(encoder, "prompts", {}).get(getattr(encoder, "default_prompt_name", None)) or ""
    tokens = encoder.tokenizer([prompt + text for text in texts], truncation=True, max_length=longest + 1)["input_ids"]
    return [place for place, of_text in enumerate(tokens) if len(of_text) > longest]


def hash_of_model(folder: Path) -> str:
    """Return one SHA-256 for the names and contents of the files of a model."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)} {manifests.sha256(file)}\n".encode())
    return digest.hexdigest()
