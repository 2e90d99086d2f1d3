"""Tables and paragraphs of a given width: texts give way, numbers and names stay whole.

rich's tables cut every column that does not fit, numbers too. Here a table whose numbers do not fit beside each other
is laid out as one block a row instead.
"""

import itertools
import math
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

GAP = 2
LEAST_TEXT = 8  # cells; a text column that is narrower says nothing
NUMBER = re.compile(r"[-+\N{MINUS SIGN}]?[\d.,]+(e[-+]?\d+)?\s?%?|-|NULL|inf|nan", re.IGNORECASE)
BAR = "\N{FULL BLOCK}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
BOLD, DIM, CYAN, RED, GREEN, YELLOW = "1", "2", "36", "1;31", "32", "33"


def styled(text: str, code: str, colour: bool) -> str:
    """Return the text in a style of ANSI terminals, or as it is without colour.

    >>> styled("0.5", CYAN, False), styled("0.5", CYAN, True)
    ('0.5', '\\x1b[36m0.5\\x1b[0m')
    """
    return f"\x1b[{code}m{text}\x1b[0m" if colour and text else text


def one_line(text: object) -> str:
    r"""Return a text as one line without characters that a terminal obeys.

    >>> one_line("a\n  b\x1b[31m")
    'a b[31m'
    """
    folded = " ".join(str(text).split())
    return folded if folded.isprintable() else "".join(one for one in folded if one.isprintable())


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes; a wide character takes two.

    >>> cells("ab"), cells("\N{CJK UNIFIED IDEOGRAPH-4E2D}")
    (2, 2)
    """
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shortened(text: str, width: int) -> str:
    """Return a text of at most `width` cells, cut at a word where one ends in its last third; a list at an item.

    >>> shortened("a large wild cat", 10), shortened("lion", 12)
    ('a large \N{HORIZONTAL ELLIPSIS}', 'lion')
    """
    if cells(text) <= width:
        return text
    if text.isascii():
        kept = text[: width - 1]
    else:
        from rich.cells import set_cell_size

        kept = set_cell_size(text, width - 1).rstrip()
    word = kept.rfind(" ") + 1
    if text[0] in "[{" and word:  # a list as JSON; no number of it is cut
        return kept[:word] + ELLIPSIS
    return (kept[:word] if 3 * word > 2 * width else kept) + ELLIPSIS


def paragraph(text: str, width: int | None, indent: str = "", first: str | None = None) -> list[str]:
    """Return the lines of a text; words are never broken.

    >>> paragraph("words are never broken", 12)
    ['words are', 'never broken']
    """
    start = indent if first is None else first
    if width is None or cells(start + text) <= width:
        return [start + text]
    return textwrap.wrap(
        text,
        max(width, 8),
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(
    records: Sequence[Mapping[str, Any]],
    width: int | None = None,
    texts: Collection[str] = (),
    colour: bool = False,
    indent: int = 0,
) -> list[str]:
    """Return the lines of a table under a line of names.

    Parameters
    ----------
    records : sequence of mappings
        With the same names; values as they are shown.
    width : int, optional
        Cells of a line; without it, as wide as the values are.
    texts : names
        The columns that give way where the table is too wide; the others are never cut. Where these do not fit beside
        each other, each record is a block with a line a value.
    colour : bool
        Whether names and numbers are styled.
    indent : int
        Blanks before each line.

    Examples
    --------
    >>> rows = [{"score": "0.91", "text": "a small dog that barks"}, {"score": "10.25", "text": "rain"}]
    >>> print("\\n".join(table(rows, 20, texts=["text"])))
    score  text
    -----  -------------
     0.91  a small dog …
    10.25  rain
    """
    if not records:
        return []
    names = list(records[0])
    rows = [[one_line(record[name]) for name in names] for record in records]
    return grid(names, rows, [name in texts for name in names], width, colour, indent)


def grid(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    soft: Sequence[bool],
    width: int | None = None,
    colour: bool = False,
    indent: int = 0,
    right: Sequence[bool] | None = None,
) -> list[str]:
    """Return the lines of a table whose cells are texts of one line each; as `table`.

    Parameters
    ----------
    names : sequence of str
        The names of the columns; they may repeat.
    rows : sequence of sequences of str
    soft : sequence of bool
        Of each column, whether it gives way.
    width, colour, indent : as for `table`
    right : sequence of bool, optional
        Of each column, whether it is set to the right; by default those of numbers alone.
    """
    widest = [max([cells(name), *(cells(row[at]) for row in rows)]) for at, name in enumerate(names)]
    sizes = _sizes(widest, soft, None if width is None else width - indent)
    blanks = " " * indent
    if sizes is None:
        return _blocks(names, rows, soft, width or 0, colour, blanks)
    if right is None:
        right = [not soft[at] and all(NUMBER.fullmatch(row[at]) for row in rows) for at in range(len(names))]
    rule = (" " * GAP).join("-" * size for size in sizes)
    plain = [""] * len(names)
    lines = [styled(_line(names, sizes, right, plain, False), BOLD, colour), styled(rule, DIM, colour)]
    styles = [CYAN if one else "" for one in right]
    lines += [_line(row, sizes, right, styles, colour) for row in rows]
    return [blanks + line for line in lines]


def _sizes(widest: list[int], soft: Sequence[bool], width: int | None) -> list[int] | None:
    """The width of each column; None where those that may not give way do not fit."""
    if width is None:
        return widest
    left = width - GAP * (len(widest) - 1) - sum(size for size, gives in zip(widest, soft, strict=True) if not gives)
    order = sorted((size, at) for at, (size, gives) in enumerate(zip(widest, soft, strict=True)) if gives)
    if left < sum(min(size, LEAST_TEXT) for size, _ in order):
        return None
    sizes = list(widest)
    for place, (size, at) in enumerate(order):
        sizes[at] = min(size, left // (len(order) - place))
        left -= sizes[at]
    return sizes


def _line(row: Sequence[str], sizes: list[int], right: Sequence[bool], styles: Sequence[str], colour: bool) -> str:
    parts = []
    for at, (cell, size, to_right, style) in enumerate(zip(row, sizes, right, styles, strict=True)):
        text = shortened(cell, size)
        blanks = " " * (size - cells(text))
        shown = styled(text, style, colour and bool(style))
        last = at == len(sizes) - 1
        parts.append(blanks + shown if to_right else shown if last else shown + blanks)
    return (" " * GAP).join(parts).rstrip()


def _blocks(
    names: Sequence[str], rows: Sequence[Sequence[str]], soft: Sequence[bool], width: int, colour: bool, blanks: str
) -> list[str]:
    """One block a row, a line a value, with an empty line between blocks."""
    label = max(map(cells, names))
    room = max(LEAST_TEXT, width - len(blanks) - label - GAP)
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for name, cell, gives in zip(names, row, soft, strict=True):
            head = styled(name, BOLD, colour) + " " * (label - cells(name) + GAP)
            number = bool(NUMBER.fullmatch(cell))
            shown = shortened(cell, room) if gives else styled(cell, CYAN, colour and number)
            lines.append((blanks + head + shown).rstrip())
    return lines


def decimals(values: Sequence[float | None]) -> list[str]:
    """Return numbers of one column with the same number of decimals; None and NaN as "-".

    >>> decimals([0.5, 0.25, None]), decimals([1500.0, 2.5]), decimals([2e-7, 1e-8]), decimals([3.0, 4.0])
    (['0.5000', '0.2500', '-'], ['1500.00', '2.50'], ['2e-07', '1e-08'], ['3', '4'])
    """
    finite = [value for value in values if value is not None and math.isfinite(value)]
    most = max(map(abs, finite), default=0.0)
    if all(value == int(value) for value in finite) and most < 1e15:
        form = ",.0f"
    elif 1e-4 <= most < 1e6:
        form = ".6f" if most < 0.01 else ".4f" if most < 100 else ".2f"
    else:
        form = ".4g"
    return ["-" if value is None or math.isnan(value) else format(value, form) for value in values]


def histogram(
    counts: Sequence[int], edges: Sequence[float], width: int | None = None, colour: bool = False
) -> Iterator[str]:
    """Yield one line a bin: its range, a bar, its count.

    >>> print("\\n".join(histogram([1, 2], [0.0, 0.5, 1.0], 24)).replace(BAR, "#"))
     0.00 to 0.50  ####    1
     0.50 to 1.00  ####### 2
    """
    digits = _digits([float(one) for one in edges])
    ranges = [f"{low:.{digits}f} to {high:.{digits}f}" for low, high in itertools.pairwise(edges)]
    label = max(map(len, ranges))
    numbers = [f"{count:,}" for count in counts]
    size = max(map(len, numbers))
    room = max(4, min((width or 100) - label - size - 4, 60))
    most = max(1, *counts)
    for text, count, number in zip(ranges, counts, numbers, strict=True):
        length = round(room * count / most)
        bar = BAR * max(length, 1 if count else 0)
        yield f" {text:>{label}}  {styled(bar, CYAN, colour)}{' ' * (room - len(bar))} {number:>{size}}"


def _digits(edges: list[float]) -> int:
    """Decimals that tell the edges apart."""
    step = (edges[-1] - edges[0]) / max(1, len(edges) - 1)
    digits = 2
    while step > 0 and digits < 9 and step < 10.0 ** (1 - digits):
        digits += 1
    return digits if step < 100 else 0
