"""Checks of the arguments that several tasks take: numbers, names and output files.

Each message begins with the name of the argument; the command line writes it as the option.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import tables
from vicinal.data.sources import is_data_file, split
from vicinal.errors import UsageError, unknown
from vicinal.storage import atomic
from vicinal.typing import PathLike


def whole_number(value: object, name: str, also: str = "") -> int:
    """Return a whole number above 0.

    Parameters
    ----------
    value : object
    name : str
        The argument's name.
    also : str
        What else the argument may be, for the message.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> whole_number(5, "k")
    5
    >>> whole_number("five", "k", also=" or auto")
    Traceback (most recent call last):
    vicinal.errors.UsageError: k: expected a whole number above 0 or auto, got "five"
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UsageError(f"{name}: expected a whole number above 0{also}, got {_shown(value)}")
    return int(value)


def number(value: object, name: str, expected: str, fits: Callable[[float], bool] = math.isfinite) -> float:
    """Return a number that fits.

    Parameters
    ----------
    value : object
    name : str
        The argument's name.
    expected : str
        What the message says was expected.
    fits : callable
        Whether a number can be used.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> number(2, "evaluation", "a share from 0 to 1", lambda share: 0 <= share <= 1)
    Traceback (most recent call last):
    vicinal.errors.UsageError: evaluation: expected a share from 0 to 1, got 2
    """
    usable = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not usable or not fits(float(value)):  # type: ignore[arg-type]
        raise UsageError(f"{name}: expected {expected}, got {_shown(value)}")
    return float(value)  # type: ignore[arg-type]


def choice(value: object, name: str, choices: Iterable[str]) -> str:
    """Return a value that is one of the choices.

    Raises
    ------
    UsageError
        It names the choices and the nearest one.

    Examples
    --------
    >>> choice("uniform", "weights", ("uniform", "distance"))
    'uniform'
    """
    names = tuple(choices)
    if not isinstance(value, str) or value not in names:
        what = name.rpartition(".")[2]  # without its place, which a value of a file has
        raise UsageError(f"{name}: {unknown(what, value, names)}")
    return value


def seed_of(value: object, name: str = "seed", most: int | None = None) -> int:
    """Return a whole number from 0 on, that random numbers are drawn by; `most` is the largest that is taken.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> seed_of(0.5)
    Traceback (most recent call last):
    vicinal.errors.UsageError: seed: expected a whole number from 0 on, got 0.5
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < 0 or (most is not None and value > most):  # type: ignore[operator]
        raise UsageError(
            f"{name}: expected a whole number from 0 {f'to {most}' if most else 'on'}, got {_shown(value)}"
        )
    return int(value)  # type: ignore[call-overload, no-any-return]


def several(values: object, name: str) -> list[Any] | None:
    """Return the items of a list as a list; None for None.

    Raises
    ------
    UsageError
        There is one item that is in no list; the items of a text would be its letters.

    Examples
    --------
    >>> several("n01", "query_ids")
    Traceback (most recent call last):
    vicinal.errors.UsageError: query_ids: expected a list, got "n01"; write ['n01']
    """
    if values is None:
        return None
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"{name}: expected a list, got {_shown(values)}; write [{values!r}]")
    return list(values)


def at_most(k: int, n: int) -> int:
    """Return k, or n where that is less, with a warning that names both."""
    if k > n:
        warnings.warn(f"k = {k}, but only {n} rows are known; using k = {n}", stacklevel=3)
    return min(k, n)


def check_outputs(outputs: Mapping[str, PathLike | None], inputs: Iterable[object], overwrite: bool) -> None:
    """Check, before the work, that files can be written and that none of them is an input.

    Parameters
    ----------
    outputs : mapping of str to path or None
        Argument name -> the file to write, or None.
    inputs : iterable
        What the caller gave: paths, FILE:FIELD, arrays, tables.
    overwrite : bool
        Whether files that exist may be replaced.

    Raises
    ------
    UsageError
        A file exists, its folder does not, it is one of the inputs, or two outputs are one file.
    """
    read = list(inputs)
    for path in outputs.values():
        if path is not None:
            atomic.refuse_input(path, read)
            atomic.check_file(Path(path), overwrite)
    refuse_one_file(outputs)


def refuse_one_file(outputs: Mapping[str, PathLike | None]) -> None:
    """Raise UsageError where two outputs are one file; `outputs` as in `check_outputs`.

    Examples
    --------
    >>> refuse_one_file({"output": "a.jsonl", "add_to": "b/../a.jsonl"})
    Traceback (most recent call last):
    vicinal.errors.UsageError: add_to: found the file b/../a.jsonl, which output writes too; name another one
    """
    names: dict[Path, str] = {}
    for name, path in outputs.items():
        first = name if path is None else names.setdefault(Path(path).resolve(), name)
        if first != name:
            raise UsageError(f"{name}: found the file {path}, which {first} writes too; name another one")


def check_copy(data: object, output: PathLike, instead: str, of_embeddings: bool = False) -> None:
    """Check that rows of a data set can be copied, as they are, to a file.

    Parameters
    ----------
    data : object
        What the caller gave.
    output : path
    instead : str
        What gives the rows of a table in memory, for the message.
    of_embeddings : bool
        Whether the data may be embeddings, with a data set beside them.

    Raises
    ------
    UsageError
        `data` is no data set file, or the output is of another kind.
    """
    if not isinstance(data, str | os.PathLike) or not is_data_file(data):
        wrong, remedy = (
            "output: lines are copied from a data set file, but data is",
            "leave output out, and take the rows",
        )
        if not isinstance(data, str | os.PathLike):
            raise UsageError(f"{wrong} in memory ({type(data).__name__}); {remedy} with {instead}")
        beside = f", and this one by --embeddings {os.fspath(data)}" if of_embeddings else ""
        raise UsageError(
            f"{wrong} {os.fspath(data)}; give a data set file{beside} (in Python also: {remedy} with {instead})"
        )
    kinds = tables.suffix(split(data)[0]), tables.suffix(Path(output))
    if kinds[0] != kinds[1] and not set(kinds) <= set(tables.LINES):
        raise UsageError(f"{output}: chosen rows are copied as they are, so expected a name that ends in {kinds[0]}")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}..."'
    if isinstance(value, float):  # 5.0 is no whole number, and is not shown as one
        return repr(float(value)) if value.is_integer() else f"{value:g}"
    return repr(value)
