"""The errors that a user can meet.

Each class carries the exit code of the command line. A message names the value, what was expected, and the remedy.
"""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


class VicinalError(Exception):
    """The base class of every error that vicinal raises on purpose."""

    exit_code = 1


class UsageError(VicinalError, ValueError):
    """An argument, option or configuration value that cannot be used."""

    exit_code = 2


class DataError(VicinalError, ValueError):
    """Input data that cannot be read or does not fit together."""

    exit_code = 3


class DiskFull(VicinalError, OSError):
    """An output has no room on its disk, or is larger than the system allows a file to be."""

    exit_code = 3


class NotFitted(VicinalError, RuntimeError):
    """An index was used before it was given vectors."""

    exit_code = 2


class MissingExtra(VicinalError, ImportError):
    """A part of vicinal was used whose optional package is not installed."""

    exit_code = 2


@contextlib.contextmanager
def kept_in(folder: str | Path | None) -> Iterator[None]:
    """On Ctrl-C, or where a disk is full, report the folder that keeps the finished work."""
    try:
        yield
    except (KeyboardInterrupt, DiskFull) as stop:
        if folder is None or not Path(folder).exists():
            raise
        kept = f"finished work is kept in {folder}, and the same command continues from it"
        if isinstance(stop, DiskFull):
            raise DiskFull(f"{stop}; {kept}") from None
        raise KeyboardInterrupt(f"interrupted; {kept}") from None


def need(module: str, extra: str | None = None) -> Any:
    """Return the module of an optional package; called where it is used, never at import.

    Parameters
    ----------
    module : str
    extra : str, optional
        The extra of vicinal that installs the package; None where users install the package itself.

    Raises
    ------
    MissingExtra
        The package is not installed; the message holds the command that installs it. A fault inside the package is
        raised as it is.

    Examples
    --------
    >>> need("no_such_package", extra="sql")
    Traceback (most recent call last):
    vicinal.errors.MissingExtra: this needs the package no_such_package: pip install 'vicinal[sql]'
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == package:
            what = package if extra is None else f"'vicinal[{extra}]'"
            raise MissingExtra(f"this needs the package {package}: pip install {what}") from None
        raise


def some(items: Sequence[object], limit: int = 5) -> str:
    """Return the first few items as text, for messages.

    >>> some([3, 7]), some(list(range(9)), limit=2)
    ('3, 7', '0, 1, ... (9 in all)')
    """
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown}, ... ({len(items)} in all)"


def unknown(what: str, found: object, choices: Iterable[object]) -> str:
    """Return the message for a name that is not among the choices, with the nearest one.

    >>> unknown("metric", "cosin", ["cosine", "l2"])
    "unknown metric 'cosin': did you mean 'cosine'? Choose from cosine, l2"
    """
    names = [str(choice) for choice in choices]
    if not names:
        return f"unknown {what} {found!r}: there is none"
    near = closest(str(found), names)
    hint = f"did you mean {near!r}? Choose" if near is not None else "choose"
    return f"unknown {what} {found!r}: {hint} from {', '.join(names)}"


def closest(found: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like the one found; None where none is.

    >>> closest("--radiu", ["--radius", "--keep"]), closest("x", ["--radius"])
    ('--radius', None)
    """
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(found.lower(), lower, n=1)
    return lower[near[0]] if near else None


def half_pair(error: UnicodeEncodeError) -> str:
    r"""What is wrong with a text that no file of UTF-8 holds, and the remedy.

    >>> half_pair(UnicodeEncodeError("utf-8", "a\ud800", 1, 2, "surrogates not allowed")).partition(";")[0]
    "half a surrogate pair, '\\ud800' at character 1, which no file of UTF-8 holds"
    """
    return (
        f"half a surrogate pair, {error.object[error.start]!r} at character {error.start}, which no file of UTF-8 "
        "holds; correct the text: text.encode('utf-8', 'replace').decode()"
    )
