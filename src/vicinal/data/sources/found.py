"""What a reader gives, the choice of one array of several, and FILE:KEY."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vicinal.errors import UsageError, some, unknown
from vicinal.knn import memory
from vicinal.typing import Id

LOG = logging.getLogger("vicinal")
"""Notices of what was chosen where several things were possible (INFO), and of what was copied (DEBUG)."""


@dataclass(frozen=True, eq=False)
class Found:
    """The values that a reader found.

    Attributes
    ----------
    values : ndarray
        As they are stored; nothing is checked yet.
    key : str
        The array, field or column that was taken; empty where the file holds one array without a name.
    missing : dict of int to str
        The reason of each row that has no vector.
    ids : list of int or str, or None
        The names of the rows, of a format that names them.
    encoding : str
        How the values are coded, where the file says so: "ubinary" for packed bits.
    """

    values: np.ndarray
    key: str = ""
    missing: Mapping[int, str] = field(default_factory=dict)
    ids: Sequence[Id] | None = None
    encoding: str = ""


def split(spec: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the path and the key of FILE or FILE:KEY.

    The path is the whole text where that exists, else the part before the first colon that does.

    Examples
    --------
    >>> split("none.npz:a")
    (PosixPath('none.npz'), 'a')
    """
    text = os.fspath(spec)
    if exists(text) or ":" not in text:
        return Path(text), ""
    at = [place for place, letter in enumerate(text) if letter == ":"]
    best = next((place for place in at if exists(text[:place])), at[-1])
    return Path(text[:best]), text[best + 1 :]


def exists(text: str) -> bool:
    """Whether a text is the path of something; a text that can be none (too long, zero bytes) is not."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def chosen(place: object, key: str, shapes: Mapping[str, object], what: str = "array") -> str:
    """Return the name of one array of a file.

    Parameters
    ----------
    place : object
        The file, for messages.
    key : str
        The name that was asked for; empty where none was.
    shapes : mapping of str to object
        The name of each array -> its dtype and shape, or type, for messages.

    Raises
    ------
    UsageError
        None was asked for and there are several; or there is none of that name.
    """
    if key and key not in shapes:
        raise UsageError(f"{place}: {unknown(what, key, shapes)}")
    if key or len(shapes) == 1:
        return key or next(iter(shapes))
    listed = some([f"{name} ({shape})" for name, shape in shapes.items()], 9)
    if not shapes:
        raise UsageError(f"{place}: holds no {what}s; expected one {what} of embeddings")
    raise UsageError(f"{place}: holds several {what}s: {listed}; name one, as {place}:{next(iter(shapes))}")


def refuse_key(path: Path, key: str) -> None:
    """Raise UsageError where a key is asked for in a file that holds one array without a name."""
    if key:
        raise UsageError(f"{path}: holds one array without a name, got the key {key!r}; leave out :{key}")


def copied(path: object, why: str, n_bytes: int = 0) -> None:
    """Say at -v that a source is copied into memory; raise UsageError where so many bytes do not fit."""
    memory.require(n_bytes, f"the numbers of {path}", "save them as .npy, which is read in place")
    LOG.debug("%s: copied into memory: %s", path, why)
