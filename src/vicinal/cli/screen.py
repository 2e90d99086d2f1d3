"""Standard output as a person sees it: how wide the terminal is, and whether it has colours."""

import itertools
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from vicinal import layout
from vicinal.cli import options

LEAST_WIDTH = 20
FIRST = 20  # records of a result that a terminal shows
WHOLE = ("id", "query", "rank", "row")  # numbers that are names


def flat(value: Any) -> Any:
    """A list or a mapping as JSON, another value as it is."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


@dataclass(frozen=True)
class Screen:
    """A terminal, or what stands in its place where the output is a file or a pipe.

    Attributes
    ----------
    width : int or None
        Cells of a line; None where it is no terminal, so that nothing is shortened.
    colour : bool
    """

    width: int | None = None
    colour: bool = False

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads it."""
        return self.width is not None

    def bold(self, text: str) -> str:
        """A heading."""
        return layout.styled(text, layout.BOLD, self.colour)

    def table(self, records: Sequence[Mapping[str, Any]], texts: Collection[str] = (), indent: int = 0) -> list[str]:
        """The lines of a table; the columns of `texts` give way."""
        return layout.table(records, self.width, texts, self.colour, indent)

    def records(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """The lines of a table of records as tasks give them: numbers in columns, lists and mappings as JSON."""
        if not records:
            return []
        shown: dict[str, list[str]] = {}
        texts = []
        for name in records[0]:
            values = [record.get(name) for record in records]
            if all(value is None or (isinstance(value, int | float) and name not in WHOLE) for value in values):
                shown[name] = layout.decimals(values)
            else:
                shown[name] = ["-" if one is None else str(flat(one)) for one in values]
                texts += [name] if any(isinstance(one, str | list | dict) for one in values) else []
        return self.table([dict(zip(shown, row, strict=True)) for row in zip(*shown.values(), strict=True)], texts)

    def paragraph(self, text: str, indent: str = "") -> list[str]:
        """The lines of a text."""
        return layout.paragraph(text, self.width, indent)

    def titled(self, title: str, text: str, indent: str = "") -> list[str]:
        """The lines of a text that begins with its title."""
        first, *more = self.paragraph(f"{title}  {text}".rstrip(), indent)
        return [indent + first[len(indent) :].replace(title, self.bold(title), 1), *more]

    def fitted(self, lines: Iterable[str]) -> Iterator[str]:
        """Lines that were laid out for any width: those that are too long go on below, further in."""
        for line in lines:
            for part in line.split("\n"):
                margin = " " * (len(part) - len(part.lstrip()))
                if self.width is None or layout.cells(part) <= self.width:
                    yield part
                else:
                    yield from layout.paragraph(part.strip(), self.width, f"{margin[: self.width // 3]}  ", margin)

    def show(self, lines: Iterable[str]) -> None:
        """Print lines; characters that the terminal cannot show are replaced."""
        for line in lines:
            try:
                print(line)
            except UnicodeEncodeError:
                encoding = sys.stdout.encoding or "ascii"
                print(line.replace(layout.BAR, "#").encode(encoding, "replace").decode(encoding))


def result(
    records: Iterable[dict[str, Any]], summary: Callable[[], dict[str, Any]], written: object, as_json: bool, n: int
) -> None:
    """Print the records of a task that writes none: in a terminal the first of them as a table, else each as JSON.

    Parameters
    ----------
    records : iterable of mappings
        One a row.
    summary : callable
        What --json prints.
    written : object
        The output; None where there is none.
    as_json : bool
        Whether --json is given.
    n : int
        How many records there are.
    """
    seen = stdout()
    if written is None and seen.is_terminal and not as_json:
        seen.show(seen.records(list(itertools.islice(records, FIRST))))
        if n > FIRST:
            seen.show(seen.paragraph(f"... {n - FIRST:,} more; -o FILE writes all, and a pipe gets them as JSON"))
        return
    options.print_result(records, summary, written, as_json)


def show_text(text: str, as_json: bool = False) -> None:
    """Print a text; in a terminal its long lines go on below, those of JSON excepted."""
    seen = stdout()
    seen.show([text] if as_json else seen.fitted([text]))


def of(stream: TextIO | None) -> Screen:
    """Return the screen of a stream: of a terminal its width, and colours unless NO_COLOR or TERM=dumb is set."""
    if stream is None or not stream.isatty():
        return Screen()
    from rich.console import Console

    terminal = Console(file=stream)
    return Screen(max(LEAST_WIDTH, terminal.width), terminal.color_system is not None and not terminal.no_color)


def stdout() -> Screen:
    """Return the screen of standard output."""
    return of(sys.stdout)
