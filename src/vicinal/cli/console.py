"""Standard error of a command: notes, warnings, errors, and a progress bar on a terminal."""

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[..., None]  # called with rows done, rows in all, and a remark


class _Lines(logging.Handler):
    """Prints what the package logs, such as which of several columns was taken, as notes."""

    def __init__(self, console: "Console") -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.note(record.getMessage())


class Console:
    """Writes to standard error; -v adds lines, -q leaves only errors."""

    def __init__(self) -> None:
        self._verbose = self._quiet = False
        self._warned: set[str] = set()

    def listen(self, verbose: bool, quiet: bool) -> None:
        """Apply -v and -q, and print each of Python's warnings once, as one line."""
        self._verbose, self._quiet = verbose, quiet
        warnings.simplefilter("ignore" if quiet else "always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: self._warning(str(message))
        told = logging.getLogger("vicinal")
        told.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
        told.handlers, told.propagate = [_Lines(self)], False

    def _warning(self, text: str) -> None:
        if text not in self._warned:
            self._line(f"warning: {text}")
        self._warned.add(text)

    def detail(self, text: str) -> None:
        """Print a line with -v."""
        if self._verbose:
            self._line(text)

    def note(self, text: str) -> None:
        """Print a line, but not with -q."""
        if not self._quiet:
            self._line(text)

    def error(self, text: str) -> None:
        """Print an error."""
        self._line(f"error: {text}")

    def internal(self, error: Exception) -> None:
        """Print a fault of vicinal itself: one line, and the traceback with -v."""
        self._line(f"internal error: {type(error).__name__}: {error}")
        if self._verbose:
            traceback.print_exception(error, file=sys.stderr)
        else:
            self._line("run it again with -v for the traceback, and please report it")

    def _line(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the reader is gone; the exit code remains
            print(f"vicinal: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], Progress] | None]:
        """Yield a function that makes a progress bar for a pass; None where standard error is no terminal."""
        if self._quiet or not sys.stderr.isatty():
            yield None
            return
        from rich import progress as rich
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:,}/{task.total:,} rows"),
            TextColumn("{task.fields[speed]} rows/s"),
            TimeRemainingColumn(),
        )
        with rich.Progress(*columns, console=Terminal(stderr=True)) as bars:

            def start(name: str) -> Progress:
                task = bars.add_task(name, total=1, speed="-")

                def update(done: int, total: int, remark: str = "") -> None:
                    speed = bars.tasks[task].speed
                    bars.update(
                        task,
                        completed=done,
                        total=total,
                        speed=f"{speed:,.0f}" if speed else "-",
                        description=f"{name}: {remark}" if remark else name,
                    )

                return update

            yield start
