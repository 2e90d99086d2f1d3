r"""Filters: an expression over the columns of a table, as in SQL's WHERE, evaluated to one boolean a row.

    label = "noun.animal"            = == != <> < <= > >=
    year >= 1990 and not draft       and, or, not, parentheses; a column of true and false stands alone
    label in ("a", "b")              in, not in
    title like "%cat_"               like, not like: % any text, _ any letter, \% and \_ the signs themselves
    title ilike "%cat%"              ilike, not ilike: the same, where a letter is as good in lower as in upper case
    note is null                     is null, is not null; a comparison with null is never true

In a column whose values are of several kinds, a row that does not compare with a value does not match.

Text is in double or single quotes, doubled inside; a name that is not a plain word is in `backticks`. Words are read in
any case. The expression is never evaluated as code.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vicinal.errors import UsageError, unknown

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
      | (?P<quoted>`[^`]+`)
      | (?P<word>[^\W\d]\w*(?:\.\w+)*)
      | (?P<sign><=|>=|<>|!=|==|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)
_COMPARE = {
    "=": "equal",
    "==": "equal",
    "!=": "not_equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
_WORDS = {"and", "or", "not", "in", "is", "null", "like", "ilike", "true", "false"}
DEEPEST = 100  # parentheses within parentheses


def matches(expression: str, columns: Mapping[str, Any]) -> np.ndarray:
    """Return the rows that match an expression.

    expression : as above
    columns    : name -> pyarrow array of n values
    Returns      bool (n,)
    Raises       UsageError with the place in the expression, what was expected, and the columns that there are

    >>> import pyarrow
    >>> columns = {"size": pyarrow.array([1, 2, 3]), "kind": pyarrow.array(["a", "b", "c"])}
    >>> matches('size > 1 and kind in ("a", "b")', columns)
    array([False,  True, False])
    """
    if not isinstance(expression, str):
        raise UsageError(f"where: expected an expression as text, got {type(expression).__name__}")
    import pyarrow

    found = _Parser(expression, columns).read()
    values = found.combine_chunks() if isinstance(found, pyarrow.ChunkedArray) else found
    return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def names_of(expression: str) -> list[str]:
    """Return the names of columns in an expression, each once, in order.

    Raises   UsageError where the expression cannot be read

    >>> names_of('size > 1 and `my kind` in ("a", "b") and not size < 9')
    ['size', 'my kind']
    """
    if not isinstance(expression, str):
        raise UsageError(f"where: expected an expression as text, got {type(expression).__name__}")
    tokens = _Parser(expression, {})._tokens
    names = [
        text[1:-1] if kind == "quoted" else text
        for kind, text, _ in tokens
        if kind == "quoted" or (kind == "word" and text.lower() not in _WORDS)
    ]
    return list(dict.fromkeys(names))


def _as_time(value: Any, other: Any) -> Any:
    """A text as the date or time that it is compared with; any other value as it is."""
    import pyarrow

    text = isinstance(value, pyarrow.Scalar) and pyarrow.types.is_string(value.type)
    return value.cast(other.type) if text and pyarrow.types.is_temporal(other.type) else value


def _as_number(column: Any, value: Any) -> Any:
    """A column of text as the numbers, or true and false, that it is compared with; null where a row holds another.

    A column whose values are of several kinds is kept as text (`payload.as_table`). A column in which no row holds such
    a value stays as it is, so that the comparison is refused.
    """
    import pyarrow
    import pyarrow.compute as compute

    types = pyarrow.types
    text = not isinstance(column, pyarrow.Scalar) and (
        types.is_string(column.type) or types.is_large_string(column.type)
    )
    if not text or not isinstance(value, pyarrow.Scalar):
        return column
    if types.is_boolean(value.type):
        pattern, kind = "^(true|false)$", pyarrow.bool_()
    elif types.is_floating(value.type) or types.is_integer(value.type):
        pattern, kind = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$", pyarrow.float64()
    else:
        return column
    fits = compute.match_substring_regex(column, pattern)
    if not compute.any(fits).as_py():
        return column
    return compute.if_else(fits, column, pyarrow.scalar(None, column.type)).cast(kind)


class _Parser:
    """Recursive descent, one method a level of binding; each gives a pyarrow array of booleans, null for unknown."""

    def __init__(self, expression: str, columns: Mapping[str, Any]) -> None:
        import pyarrow.compute

        self._pc: Any = pyarrow.compute
        self._text, self._columns, self._depth = expression, columns, 0
        self._tokens: list[tuple[str, str, int]] = []
        half = re.search("[\ud800-\udfff]", expression)
        if half:  # also what the shell gives for a byte that is no UTF-8
            raise self._error(half.start(), "text that UTF-8 can hold", half[0])
        place = 0
        while place < len(expression.rstrip()):
            token = _TOKEN.match(expression, place)
            if token is None:
                start = len(expression) - len(expression[place:].lstrip())
                raise self._error(start, "a name, a number, a text in quotes or a sign such as =", expression[start:])
            kind = token.lastgroup or ""
            self._tokens.append((kind, token[kind], token.start(kind)))
            place = token.end()
        self._next = 0

    def read(self) -> Any:
        """The whole expression."""
        found = self._either()
        if self._next < len(self._tokens):
            raise self._wrong("and, or, or the end")
        return found

    def _either(self) -> Any:
        found = self._both()
        while self._take("or"):
            found = self._pc.or_kleene(found, self._both())
        return found

    def _both(self) -> Any:
        found = self._negated()
        while self._take("and"):
            found = self._pc.and_kleene(found, self._negated())
        return found

    def _negated(self) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise UsageError(f"where: more than {DEEPEST} levels of parentheses and not")
        found = self._pc.invert(self._negated()) if self._take("not") else self._primary()
        self._depth -= 1
        return found

    def _primary(self) -> Any:
        if self._take("("):
            found = self._either()
            self._expect(")")
            return found
        place = self._place()
        left, shown = self._operand()
        if self._take("is"):
            negated = self._take("not")
            self._expect("null")
            missing = self._pc.is_null(left)
            return self._pc.invert(missing) if negated else missing
        negated = self._take("not")
        if self._take("in"):
            found = self._in(left, shown, place)
        elif self._take("ilike"):
            pattern, _ = self._operand()
            found = self._call(
                place,
                f"{shown} ilike",
                lambda: self._pc.match_like(self._pc.utf8_lower(left), self._pc.utf8_lower(pattern).as_py()),
            )
        elif self._take("like"):
            pattern, _ = self._operand()
            found = self._call(place, f"{shown} like", lambda: self._pc.match_like(left, pattern.as_py()))
        elif negated:
            raise self._wrong("in, like or ilike after not")
        else:
            found = self._compared(left, shown, place)
        return self._pc.invert(found) if negated else found

    def _compared(self, left: Any, shown: str, place: int) -> Any:
        import pyarrow

        if self._next < len(self._tokens) and self._tokens[self._next][1] in _COMPARE:
            sign = self._tokens[self._next][1]
            self._next += 1
            right, right_shown = self._operand()
            if isinstance(left, pyarrow.Scalar) and isinstance(right, pyarrow.Scalar):
                raise self._error(place, "a column to compare with", f"{shown} {sign} {right_shown}")
            compare = getattr(self._pc, _COMPARE[sign])

            def call() -> Any:
                one, other = _as_number(left, right), _as_number(right, left)
                return compare(_as_time(one, other), _as_time(other, one))

            return self._call(place, f"{shown} {sign} {right_shown}", call)
        if not isinstance(left, pyarrow.Scalar) and pyarrow.types.is_boolean(left.type):
            return left
        raise self._wrong("a comparison such as =, in, like or is null")

    def _in(self, left: Any, shown: str, place: int) -> Any:
        import pyarrow

        self._expect("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")")

        def call() -> Any:
            column = left
            for value in values:
                column = _as_number(column, value)
            same = pyarrow.array([value.as_py() for value in values]).cast(column.type)
            found = self._pc.is_in(column, value_set=same)
            return self._pc.if_else(self._pc.is_null(column), None, found)

        return self._call(place, f"{shown} in (...)", call)

    def _call(self, place: int, shown: str, call: Callable[[], Any]) -> Any:
        """What pyarrow makes of values, whose types may not fit together."""
        import pyarrow

        try:
            return call()
        except (pyarrow.ArrowException, TypeError, AttributeError) as error:
            types = ", ".join(f"{name}: {column.type}" for name, column in self._columns.items() if name in shown)
            reason = str(error).partition("\n")[0]
            raise UsageError(
                f"where: column {place + 1}: {shown}: the two sides cannot be compared ({types or reason})"
            ) from None

    def _value(self) -> Any:
        import pyarrow

        found, _ = self._operand()
        if not isinstance(found, pyarrow.Scalar):
            self._next -= 1
            raise self._wrong("a number or a text in quotes")
        return found

    def _operand(self) -> tuple[Any, str]:
        """A column or a value, and how it was written."""
        import pyarrow

        if self._next == len(self._tokens):
            raise self._wrong("a column or a value")
        kind, text, place = self._tokens[self._next]
        self._next += 1
        if kind == "number":
            whole = re.fullmatch(r"-?\d{1,18}", text)
            return pyarrow.scalar(int(text) if whole else float(text)), text
        if kind == "text":
            return pyarrow.scalar(text[1:-1].replace(text[0] * 2, text[0])), text
        if kind == "word" and text.lower() in ("true", "false"):
            return pyarrow.scalar(text.lower() == "true"), text
        name = text[1:-1] if kind == "quoted" else text
        if kind not in ("word", "quoted") or (kind == "word" and text.lower() in _WORDS and text not in self._columns):
            self._next -= 1
            raise self._wrong("a column or a value")
        if name not in self._columns:
            if not self._columns:
                raise UsageError(f"where: column {place + 1}: there is no {name!r}: the index holds no payload")
            raise UsageError(f"where: column {place + 1}: {unknown('name', name, self._columns)}")
        return self._columns[name], name

    def _take(self, word: str) -> bool:
        if self._next < len(self._tokens):
            kind, text, _ = self._tokens[self._next]
            if kind in ("word", "sign") and text.lower() == word:
                self._next += 1
                return True
        return False

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._wrong(word)

    def _place(self) -> int:
        return self._tokens[self._next][2] if self._next < len(self._tokens) else len(self._text)

    def _wrong(self, expected: str) -> UsageError:
        found = self._tokens[self._next][1] if self._next < len(self._tokens) else ""
        return self._error(self._place(), expected, found)

    def _error(self, place: int, expected: str, found: str) -> UsageError:
        shown = repr(found[:40]) if found.strip() else "the end"
        return UsageError(f"where: column {place + 1} of {self._text!r}: expected {expected}, found {shown}")
