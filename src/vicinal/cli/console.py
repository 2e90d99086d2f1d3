"""Standard error of a command: notes, warnings, errors, and progress."""

import contextlib
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vicinal.cli import screen
from vicinal.layout import BOLD, GREEN, RED, YELLOW, paragraph, styled
from vicinal.progress import Lines

Progress = Callable[..., None]  # called with rows done, rows in all, and a remark
WIDE = 100  # cells from which a progress bar has room for rows and their speed
# A clause that begins with one of these says what to do.
VERBS = """
add build change choose close compute convert correct create did embed end export fix free give import install leave
list load look lower make move name normalise number open pass pick put raise read remove rename repeat replace run save
scale score search see set split start take try use vicinal wait whiten write
"""
REMEDIES = frozenset(VERBS.split())
BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def parted(message: str) -> tuple[str, str]:
    """Return an error's message as what is wrong and what to do; the latter is empty where the message does not say it.

    >>> parted("o.jsonl: exists already; name another output or add --overwrite")
    ('o.jsonl: exists already', 'name another output or add --overwrite')
    >>> parted("metric: unknown metric 'cosin': did you mean 'cosine'? Choose from cosine, l2")
    ("metric: unknown metric 'cosin'", "did you mean 'cosine'? Choose from cosine, l2")
    >>> parted("emb.npy: empty (0 bytes; no header), expected a .npy array")
    ('emb.npy: empty (0 bytes; no header), expected a .npy array', '')
    """
    depth = 0
    for found in re.finditer(r"[()\[\]{}]|; |: (?=did you mean|choose from)|\. (?=[A-Z])", message):
        mark = found.group()
        if mark in BRACKETS:
            depth = max(0, depth + BRACKETS[mark])
            continue
        rest = message[found.end() :]
        first = re.match(r"[A-Za-z]*", rest)
        word = first.group().lower() if first else ""
        if depth == 0 and word in REMEDIES:
            return message[: found.start()], rest
    return message, ""


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
        self._screen: screen.Screen | None = None

    def listen(self, verbose: bool, quiet: bool) -> None:
        """Apply -v and -q, and print each of Python's warnings once, as one line."""
        self._verbose, self._quiet = verbose, quiet
        warnings.simplefilter("ignore" if quiet else "always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: self._warning(str(message))
        told = logging.getLogger("vicinal")
        told.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
        told.handlers, told.propagate = [_Lines(self)], False

    @property
    def quiet(self) -> bool:
        """Whether only results and errors are printed."""
        return self._quiet

    def _warning(self, text: str) -> None:
        if text not in self._warned:
            self._line("warning: ", text, YELLOW)
        self._warned.add(text)

    def detail(self, text: str) -> None:
        """Print a line with -v."""
        if self._verbose:
            self._line("", text)

    def note(self, text: str) -> None:
        """Print a line, but not with -q."""
        if not self._quiet:
            self._line("", text)

    def error(self, text: str) -> None:
        """Print an error; in a terminal what to do is a line of its own."""
        wrong, remedy = parted(text) if self._seen.is_terminal else (text, "")
        self._line("error: ", wrong, RED)
        if remedy:
            is_command = remedy.startswith(("vicinal ", "pip "))
            self._print(self._wrapped("  ", remedy if is_command else remedy[:1].upper() + remedy[1:], GREEN))

    def internal(self, error: Exception) -> None:
        """Print a fault of vicinal itself: one line, and the traceback with -v."""
        self._line("internal error: ", f"{type(error).__name__}: {error}", RED)
        if self._verbose:
            traceback.print_exception(error, file=sys.stderr)
        else:
            self._line("", "run it again with -v for the traceback, and please report it")

    @property
    def _seen(self) -> screen.Screen:
        """Standard error as a person sees it."""
        if self._screen is None:
            self._screen = screen.of(sys.stderr)
        return self._screen

    def _line(self, label: str, text: str, style: str = "") -> None:
        name = styled("vicinal:", BOLD, self._seen.colour)
        mark = styled(label.rstrip(), style, self._seen.colour and bool(style)) + " " * bool(label)
        first, *more = paragraph(text, self._seen.width, "  ", f"vicinal: {label}")
        self._print([f"{name} {mark}{first[len(f'vicinal: {label}') :]}", *more])

    def _wrapped(self, indent: str, text: str, style: str) -> list[str]:
        return [styled(line, style, self._seen.colour) for line in paragraph(text, self._seen.width, indent)]

    def _print(self, lines: list[str]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the reader is gone; the exit code remains
            print("\n".join(lines), file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], Progress] | None]:
        """Yield a function that starts the progress of a pass: a bar in a terminal, else a line a minute."""
        if self._quiet:
            yield None
            return
        if not self._seen.is_terminal:
            yield Lines(self.note)
            return
        from rich import progress as rich
        from rich.console import Console as Terminal

        bars = rich.Progress(*_columns(self._seen.width or 80), console=Terminal(stderr=True), expand=True)

        def start(name: str) -> Progress:
            bars.start()  # not before the first pass, so that an error of what is given comes without a bar
            task = bars.add_task(name, total=None, speed="")

            def update(done: int, total: int, remark: str = "") -> None:
                speed = bars.tasks[task].speed
                bars.update(
                    task,
                    completed=done,
                    total=total,
                    speed=f"{speed:,.0f}/s" if speed else "",
                    description=f"{name}: {remark}" if remark else name,
                )

            return update

        try:
            yield start
        finally:
            bars.stop()


def _columns(width: int) -> list[Any]:
    """The columns of a progress bar; the name gives way, and rows and speed are shown where there is room."""
    from rich import progress as rich
    from rich.table import Column

    name = Column(ratio=3, no_wrap=True, overflow="ellipsis")
    shown: list[Any] = [
        rich.TextColumn("{task.description}", table_column=name, markup=False),
        rich.BarColumn(bar_width=None, table_column=Column(ratio=2, min_width=8)),
        rich.TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
    ]
    if width >= WIDE:
        shown += [rich.MofNCompleteColumn(), rich.TextColumn("{task.fields[speed]}", markup=False)]
    return [*shown, rich.TimeRemainingColumn(compact=True, elapsed_when_finished=True)]
