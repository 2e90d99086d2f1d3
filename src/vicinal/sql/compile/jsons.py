"""JSON_VALUE, JSON_EXISTS and JSON_QUERY with paths of members and elements.

In the lax mode, the default, a member of an array is taken of each of its elements, and an element of what is no array
is the value itself; in the strict mode both are errors, and so is what is not there.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from vicinal.sql.compile.casts import cast
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import Call, Phrase, Reference
from vicinal.sql.compile.operators import first_not_null
from vicinal.sql.compile.values import Expression, Scope, constant
from vicinal.sql.faults import outside
from vicinal.sql.parse.dialect import JsonCall
from vicinal.sql.types import BOOL, NULL, UTF8, Type, named

_STEP = re.compile(r'\.([A-Za-z_][\w$]*|\*)|\."((?:[^"\\]|\\.)*)"|\[\s*(\d+|\*|last(?:\s*-\s*\d+)?)\s*\]')
_NOTHING = object()


class Path:
    """A path, parsed.

    Raises    ValueError where it has what is not here
    >>> Path("$.a[0].b").found({"a": [{"b": 1}]}), Path("$.a.b").found({"a": [{"b": 1}, {"b": 2}]})
    ([1], [1, 2])
    """

    def __init__(self, text: str) -> None:
        mode, _, rest = text.strip().partition(" ")
        self.strict = mode == "strict"
        text = rest.strip() if mode in ("strict", "lax") else text.strip()
        if not text.startswith("$"):
            raise ValueError("a path begins with $")
        at, self._steps = 1, []
        while at < len(text):
            match = _STEP.match(text, at)
            if match is None:
                raise ValueError(outside(f"{text[at:]!r} in a JsonPath", "write members and elements: $.a.b[0]"))
            name, quoted, place = match.groups()
            member = json.loads(f'"{quoted}"') if quoted is not None else name
            self._steps.append((member, place, quoted is not None))
            at = match.end()

    def found(self, value: Any) -> list[Any]:
        """The values at the path; ValueError in the strict mode where a step finds nothing."""
        values = [value]
        for member, place, quoted in self._steps:
            step = self._members if member is not None else self._elements
            values = [one for each in values for one in step(each, member if member is not None else place, quoted)]
        return values

    def _members(self, value: Any, name: str, quoted: bool) -> list[Any]:
        if isinstance(value, list) and not self.strict:
            return [one for each in value if isinstance(each, dict) for one in self._members(each, name, quoted)]
        if isinstance(value, dict) and name == "*" and not quoted:
            return list(value.values())
        if isinstance(value, dict) and name in value:
            return [value[name]]
        return self._missing()

    def _elements(self, value: Any, place: str, _: bool) -> list[Any]:
        if not isinstance(value, list):
            if self.strict:
                return self._missing()
            value = [value]
        if place == "*":
            return list(value)
        number = len(value) - 1 - int(place[4:].replace("-", "") or 0) if place.startswith("last") else int(place)
        return [value[number]] if 0 <= number < len(value) else self._missing()

    def _missing(self) -> list[Any]:
        if self.strict:
            raise ValueError("the path finds nothing")
        return []


def reader(path: Path, what: str) -> Callable[[Any], Any]:
    """What a call gives for one JSON text: a text, or a Bool for "exists"; None for nothing and for an error."""

    def read(text: str | None) -> Any:
        if text is None:
            return None
        try:
            found = path.found(json.loads(text))
        except ValueError:
            return None
        if what == "exists":
            return bool(found)
        if len(found) != 1:
            return None
        (value,) = found
        if what == "query":
            return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return (
            None
            if isinstance(value, dict | list) or value is None
            else value
            if isinstance(value, str)
            else repr(value)
        )

    return read


def compiled(compiler: Conversion, node: JsonCall, scope: Scope) -> Expression:
    """A call of one of the three functions."""
    what = node.meta["what"]
    value = compiler.expression(node.this, scope)
    if value.kind.name not in ("Json", "Null"):
        raise compiler.error(node, f"JSON_{what.upper()} takes a Json first, found {value.kind}; use CAST(x AS Json)")
    written = compiler.expression(node.args["path"], Scope())
    if not written.known or not isinstance(written.value, bytes | str):
        raise compiler.error(node, f"JSON_{what.upper()} takes a path as a string literal second, found {written.kind}")
    text = written.value.decode("utf-8", "replace") if isinstance(written.value, bytes) else written.value
    try:
        path = Path(text)
    except ValueError as error:
        raise compiler.error(node.args["path"], str(error)) from None
    if value.kind == NULL:
        return constant(None, BOOL if what == "exists" else UTF8)
    read = Reference(reader(path, what))
    call = Call("knn_json", [Phrase(("CAST(", value.node, " AS VARCHAR)")), read])
    if what == "exists":
        found = Expression(Phrase(("(", call, " = 'true')")), BOOL)
        return _default(compiler, node, found, BOOL)
    kind = Type("Json") if what == "query" else UTF8
    found = Expression(Phrase(("CAST(", call, f" AS {kind.duck})")) if what == "query" else call, kind)
    returning = node.meta.get("returning")
    if returning is not None:
        try:
            kind = named(returning)
        except ValueError as error:
            raise compiler.error(returning.start, str(error)) from None
        found = cast(compiler, found, kind, node)
    return _default(compiler, node, found, kind)


def _default(compiler: Conversion, node: JsonCall, found: Expression, kind: Type) -> Expression:
    """The value, or what DEFAULT gives where there is none."""
    default = node.args.get("default")
    if default is None:
        return found
    other = compiler.converted(compiler.expression(default, Scope()), kind, node)
    return first_not_null(compiler, [found, other], node)
