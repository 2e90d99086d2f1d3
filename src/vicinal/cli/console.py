"""What a command says on standard error: notes, warnings, errors, and a progress bar on a terminal."""

import contextlib
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[..., None]  # rows done, rows in all, and what else to say


class Console:
    """Standard error, as loud as the user asked for."""

    def __init__(self) -> None:
        self._verbose = self._quiet = False
        self._warned: set[str] = set()

    def listen(self, verbose: bool, quiet: bool) -> None:
        """Sets the loudness, and turns Python's warnings into one line each, said once."""
        self._verbose, self._quiet = verbose, quiet
        warnings.simplefilter("ignore" if quiet else "always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: self._warning(str(message))

    def _warning(self, text: str) -> None:
        if text not in self._warned:
            self._line(f"warning: {text}")
        self._warned.add(text)

    def detail(self, text: str) -> None:
        """Shown at -v."""
        if self._verbose:
            self._line(text)

    def note(self, text: str) -> None:
        """Shown unless -q."""
        if not self._quiet:
            self._line(text)

    def error(self, text: str) -> None:
        """Always shown."""
        self._line(f"error: {text}")

    def internal(self, error: Exception) -> None:
        """A fault of ours: one line, and the traceback at -v."""
        self._line(f"internal error: {type(error).__name__}: {error}")
        if self._verbose:
            traceback.print_exception(error, file=sys.stderr)
        else:
            self._line("run it again with -v for the traceback, and please report it")

    def _line(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads; the exit code still tells
            print(f"vicinal: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], Progress] | None]:
        """What makes a bar for each pass, with rows a second and time left; None where nobody is looking."""
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

                def tell(done: int, total: int, said: str = "") -> None:
                    speed = bars.tasks[task].speed
                    told = f"{name}: {said}" if said else name
                    bars.update(
                        task, completed=done, total=total, speed=f"{speed:,.0f}" if speed else "-", description=told
                    )

                return tell

            yield start
