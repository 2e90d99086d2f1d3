"""Progress of long work: bars in a terminal and in a notebook, and elsewhere a line a minute.

`show_progress` is what the `progress` of a function takes. It needs no more than the standard library in a notebook: a
cell's output is replaced in place.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from vicinal.layout import one_line

Update = Callable[..., None]  # called with the work done, the work in all, and a remark
EVERY = 60.0  # seconds between two lines
OFTEN = 0.25  # seconds between two pictures of a bar
CELLS = 30


def time_left(done: float, total: float, seconds: float) -> str:
    """Return about how long the rest takes, at the speed so far; empty where that is unknown.

    >>> time_left(25, 100, 60.0), time_left(90, 100, 18.0), time_left(0, 100, 60.0)
    ('3 min left', '2 s left', '')
    """
    if not 0 < done < total or seconds <= 0:
        return ""
    return f"{_duration(seconds * (total - done) / done)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


class Lines:
    """Progress where nothing can be drawn: of each pass one line a minute, with percent and time left.

    Parameters
    ----------
    write : callable
        Takes a line.
    every : float
        Seconds from one line to the next.
    clock : callable
        Gives seconds.
    """

    def __init__(
        self, write: Callable[[str], None], every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._every, self._clock = write, every, clock
        self._said = clock()

    def __call__(self, name: str) -> Update:
        """Start a pass."""
        began, first = self._clock(), -1.0

        def update(done: float, total: float, remark: str = "") -> None:
            nonlocal first
            first = float(done) if first < 0 else first
            now = self._clock()
            if now - self._said < self._every:
                return
            self._said = now
            share = f"{100 * done / total:.0f} %" if total else ""
            left = time_left(done - first, total - first, now - began)
            self._write(": ".join(filter(None, (name, ", ".join(filter(None, (remark, share, left)))))))

        return update


class NotebookBars:
    """Progress in a notebook: one line a pass, replaced in place."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def __call__(self, name: str) -> Update:
        """Start a pass."""
        from html import escape

        from IPython.display import HTML, display

        handle: Any = None
        began, drawn, first = self._clock(), float("-inf"), -1.0

        def update(done: float, total: float, remark: str = "") -> None:
            nonlocal handle, drawn, first
            first = float(done) if first < 0 else first
            now = self._clock()
            if now - drawn < OFTEN and done < total:
                return
            drawn = now
            left = time_left(done - first, total - first, now - began) or f"{now - began:.1f} s"
            said = f"{name}: {remark}" if remark else name
            share = 100 * done / total if total else 100
            shown = HTML(
                f"<progress max=100 value={share:.1f}></progress> {share:.0f} % {escape(one_line(said))}, {left}"
            )
            if handle is None:
                handle = display(shown, display_id=True)
            else:
                handle.update(shown)

        return update


class TerminalBars:
    """Progress in a terminal, drawn in one line that fits it; for a function that is called in Python."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock

    def __call__(self, name: str) -> Update:
        """Start a pass."""
        import shutil

        began, drawn, first = self._clock(), float("-inf"), -1.0

        def update(done: float, total: float, remark: str = "") -> None:
            nonlocal drawn, first
            first = float(done) if first < 0 else first
            now = self._clock()
            if now - drawn < OFTEN and done < total:
                return
            drawn = now
            share = done / total if total else 1.0
            left = time_left(done - first, total - first, now - began) or f"{now - began:.1f} s"
            full = round(CELLS * share)
            line = f"[{'#' * full}{'.' * (CELLS - full)}] {100 * share:3.0f} %  {left}  {name}"
            line = f"{line}: {remark}" if remark else line
            width = shutil.get_terminal_size().columns - 1
            end = "\n" if done >= total else ""
            self._stream.write(f"\r{line[:width]:<{width}}{end}")
            self._stream.flush()

        return update


def in_notebook() -> bool:
    """Return whether this runs in a notebook's kernel, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def show_progress(name: str) -> Update:
    """Return a function that shows the progress of one pass; the `progress` of a function takes `show_progress`.

    A notebook shows a bar below the cell and a terminal a bar on standard error. Elsewhere a line a minute goes to
    standard error, with percent and time left.

    Parameters
    ----------
    name : str
        What the work is called.

    Returns
    -------
    callable
        Called with (work done, work in all) from time to time.

    Examples
    --------
    >>> import vicinal
    >>> scores = vicinal.score([[0.0], [1.0], [3.0]], k=1, progress=vicinal.show_progress)
    >>> scores["mean"].tolist()
    [1.0, 1.0, 2.0]
    """
    if in_notebook():
        return NotebookBars()(name)
    if sys.stderr is not None and sys.stderr.isatty():
        return TerminalBars(sys.stderr)(name)
    return Lines(lambda line: print(line, file=sys.stderr, flush=True))(name)
