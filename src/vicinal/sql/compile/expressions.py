"""YQL's expressions made DuckDB's: names, calls, lambdas, operators, and a window's place.

Each kind of node has its rule in one table; what has none there is an error with its line, column and name. The
functions that can be called are a table of their own, `functions`.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vicinal.sql.catalog import Table, quoted
from vicinal.sql.compile.conversion import Conversion, Expression, Select
from vicinal.sql.compile.functions import find
from vicinal.sql.parse import literals
from vicinal.sql.parse.literals import BITS
from vicinal.sql.parse.query_grammar import CastTo, Invoke, LambdaBlock, NumberList, exp
from vicinal.sql.types import BOOL, NULL, STRING, UTF8, Type, list_of, named


@dataclass
class Function:
    """A lambda, with the names that it sees."""

    node: Any
    names: dict[str, Any]


@dataclass
class Deferred:
    """What `$name = ...;` wrote, with the names that it sees; lowered where it is used."""

    node: Any
    names: dict[str, Any]


@dataclass
class Source:
    """What a FROM offers: an alias, and its columns as (name, text, type)."""

    alias: str
    columns: list[tuple[str, str, Type]]
    table: Table | None = None


@dataclass
class Scope:
    """The sources in sight, and the output names for ORDER BY."""

    sources: list[Source] = field(default_factory=list)
    outputs: dict[str, Expression] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)
    clause: str = ""  # one that takes no aggregate and no window


class Expressions(Conversion, ABC):
    """The expressions of one statement.

    text, evaluate, start : as `Conversion` takes them
    names                 : what `$name` stands for: an Expression, or a Deferred
    """

    def __init__(
        self, text: str, names: dict[str, Any], evaluate: Callable[[Any, Select, int], Any], start: int = 0
    ) -> None:
        super().__init__(text, evaluate, start)
        self.names = names
        self._lowered: dict[int, Any] = {}
        self._variables = 0

    @abstractmethod
    def select(self, node: Any) -> Select:
        """A SELECT that stands in an expression."""

    def expression(self, node: Any, scope: Scope) -> Expression:
        """Any expression, lowered."""
        rule = _RULES.get(type(node))
        if rule is None:
            raise self._outside(node)
        return rule(self, node, scope)

    def _string(self, node: Any, scope: Scope) -> Expression:
        if not node.args["is_string"]:
            return self._number(node)
        try:
            data, kind = literals.read_string(node.this)
        except ValueError as error:
            raise self.error(node, str(error)) from None
        value = self.constant(data, STRING)
        return value if kind == "String" else self.converted(value, Type(kind), node)

    def _number(self, node: Any, sign: str = "") -> Expression:
        try:
            value, kind = literals.read_number(sign + node.this)
        except ValueError as error:
            raise self.error(node, str(error)) from None
        return self.constant(value, Type(kind))

    def _numbers(self, node: Any, scope: Scope) -> Expression:
        try:
            values, kind = literals.read_list(node.this)
        except ValueError as error:
            raise self.error(node, str(error)) from None
        return self.constant(values, list_of(Type(kind)))

    def _list(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "expressions")
        return self.listed([self.expression(one, scope) for one in node.expressions], node)

    def listed(self, values: list[Expression], node: Any) -> Expression:
        """A list of several values."""
        if not values:
            return self.constant([], list_of(NULL))
        kind = self.common(values, node)
        values = [self.converted(one, kind, node) for one in values]
        if kind.numeric and all(one.known and one.value is not None for one in values):
            return self.constant(np.array([one.value for one in values], literals.NUMPY[kind.name]), list_of(kind))
        return self.made(f"[{', '.join(map(self.sql, values))}]", list_of(kind), values)

    def _named(self, node: Any, scope: Scope) -> Expression:
        name = node.this.this
        found = self.lookup(name, node)
        if isinstance(found, Function):
            raise self.error(node, f"${name} is a lambda: call it, or pass it to ListMap")
        if isinstance(found, Select):
            if len(found.columns) != 1:
                raise self.error(node, f"${name} has {len(found.columns)} columns; as a value it must have one")
            return Expression(f"({found.text})", found.columns[0][2], free=True)
        return found

    def lookup(self, name: str, node: Any) -> Any:
        """What `$name` stands for."""
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"; did you mean ${near[0]}?" if near else "; set it before, or give it as a parameter"
            raise self.error(node, f"unknown name ${name}{hint}")
        found = self.names[name]
        if not isinstance(found, Deferred):
            return found
        if id(found) not in self._lowered:
            self._lowered[id(found)] = self._deferred(found)
        return self._lowered[id(found)]

    def _deferred(self, found: Deferred) -> Any:
        if isinstance(found.node, exp.Lambda):
            return Function(found.node, found.names)
        outer, self.names = self.names, found.names
        try:
            node = found.node
            if isinstance(node, exp.Query):
                return self.select(node)
            return self.expression(node, Scope())
        finally:
            self.names = outer

    def _column(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "table")
        if isinstance(node.this, exp.Star):
            raise self._outside(node, "* within an expression")
        name, table = node.name, node.args.get("table")
        if "::" in name:
            raise self._outside(node, f"{name} without ()")
        if table is None and name in scope.outputs:
            return scope.outputs[name]
        sources = [one for one in scope.sources if table is None or one.alias == table.name]
        if table is not None and not sources:
            raise self.error(node, self._no_such("table or alias", table.name, [one.alias for one in scope.sources]))
        found = [(text, kind) for one in sources for known, text, kind in one.columns if known == name]
        if not found:
            have = [known for one in sources for known, _, _ in one.columns]
            raise self.error(node, self._no_such("column", name, have))
        if len(found) > 1:
            raise self.error(node, f"column {name} is in several tables; write alias.{name}")
        return Expression(*found[0])

    def _no_such(self, what: str, name: str, have: list[str]) -> str:
        folded = [one for one in have if one.lower() == name.lower()]
        near = folded or difflib.get_close_matches(name, have, n=1)
        case = " (names are case-sensitive)" if folded else ""
        return f"unknown {what} {name}" + (f"; did you mean {near[0]}{case}?" if near else "")

    def _call(self, node: Any, scope: Scope) -> Expression:
        name = node.this if isinstance(node.this, str) else node.this.name
        function = find(name)
        if function is None:
            raise self.error(node, f"function {name} is outside the subset")
        arguments = node.expressions
        if len(arguments) == 1 and isinstance(arguments[0], exp.Star) and function.name == "Count":
            arguments = []
        if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct):
            if not function.aggregate:
                raise self.error(arguments[0], "DISTINCT belongs in an aggregate function")
            arguments = arguments[0].expressions
        if function.counts and len(arguments) not in function.counts:
            expected = " or ".join(map(str, function.counts))
            raise self.error(node, f"{function.name} takes {expected} arguments, found {len(arguments)}")
        if scope.clause and (function.aggregate or function.window):
            raise self.error(node, f"{function.name} in {scope.clause} is outside the subset")
        values = [self._argument(one, scope) for one in arguments]
        made = function.make(self, node, values)
        return replace(made, free=False) if function.aggregate or function.window else made

    def _argument(self, node: Any, scope: Scope) -> Any:
        if isinstance(node, exp.Lambda):
            return Function(node, dict(self.names))
        if isinstance(node, exp.Parameter):
            found = self.lookup(node.this.this, node)
            if isinstance(found, Function):
                return found
        return self.expression(node, scope)

    def distinct(self, node: Any) -> str:
        """`DISTINCT `, where the call has it."""
        return "DISTINCT " if node.expressions and isinstance(node.expressions[0], exp.Distinct) else ""

    def applied(self, function: Any, item: Type, node: Any) -> tuple[Expression, str]:
        """A lambda's body over a variable of a type, and the variable's name."""
        if not isinstance(function, Function):
            raise self.error(node, "expected a lambda, ($x) -> (...)")
        self._variables += 1
        variable = f"x{self._variables}"
        return self._body(function, [Expression(variable, item)], node), variable

    def _invoke(self, node: Any, scope: Scope) -> Expression:
        name = node.this.this.this
        function = self.lookup(name, node)
        if not isinstance(function, Function):
            raise self.error(node, f"${name} is no lambda")
        return self._body(function, [self._argument(one, scope) for one in node.expressions], node)

    def _body(self, function: Function, arguments: list[Any], node: Any) -> Expression:
        names = [one.this for one in function.node.expressions]
        if len(names) != len(arguments):
            raise self.error(node, f"this lambda takes {len(names)} arguments, found {len(arguments)}")
        outer, self.names = self.names, {**function.names, **dict(zip(names, arguments, strict=True))}
        try:
            body = function.node.this
            if isinstance(body, LambdaBlock):
                for name, value in zip(body.args["names"], body.expressions, strict=True):
                    self.names = {**self.names, name.this: self._argument(value, Scope())}
                body = body.this
            return self.expression(body, Scope())
        finally:
            self.names = outer

    def _paren(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        return value if value.known else replace(value, text=f"({value.text})")

    def _neg(self, node: Any, scope: Scope) -> Expression:
        if isinstance(node.this, exp.Literal) and not node.this.args["is_string"]:
            return self._number(node.this, "-")
        value = self.expression(node.this, scope)
        if value.kind == NULL:
            return value
        if not value.kind.numeric:
            raise self.error(node, f"- takes a number, found {value.kind}")
        if value.known and value.value is not None:
            kind = value.kind
            if kind.whole and not BITS[kind.name][0] <= -value.value:
                raise self.error(node, f"-{value.value} does not fit {kind}")
            return self.constant(-value.value, kind)
        return self.made(f"(-{self.sql(value)})", value.kind, [value])

    def _arithmetic(self, node: Any, scope: Scope) -> Expression:
        sign = _ARITHMETIC[type(node)]
        a, b = self.expression(node.this, scope), self.expression(node.expression, scope)
        for one in (a, b):
            if one.kind != NULL and not one.kind.numeric:
                raise self.error(node, f"{sign} takes numbers, found {one.kind}")
        if NULL in (a.kind, b.kind):
            return self.constant(None, a.kind if b.kind == NULL else b.kind)
        kind = self.common([a, b], node)
        if sign == "/" and kind.whole:
            sign = "//"
        text = f"({self.sql(a)} {sign} {self.sql(b)})"
        if a.kind != b.kind:
            text = f"CAST({text} AS {kind.duck})"
        return self.made(text, kind, [a, b])

    def _compare(self, node: Any, scope: Scope) -> Expression:
        sign = _COMPARISONS[type(node)]
        a, b = self.expression(node.this, scope), self.expression(node.expression, scope)
        return self._compared(a, sign, b, node)

    def _compared(self, a: Expression, sign: str, b: Expression, node: Any) -> Expression:
        if (a.kind.item is not None or b.kind.item is not None) and sign not in ("=", "<>"):
            raise self.error(node, f"{sign} of lists is outside the subset")
        if a.kind.numeric and b.kind.numeric:  # exact as they are: DuckDB widens both
            x, y = self.sql(a), self.sql(b)
            # NaN is unequal to everything here, and DuckDB's greatest value.
            nan = [f"isnan({text})" for one, text in ((a, x), (b, y)) if one.kind.real and not one.known]
            if nan and sign == "<>":
                return self.made(f"({x} <> {y} OR {' OR '.join(nan)})", BOOL, [a, b])
            if nan:
                return self.made(f"({x} {sign} {y} AND NOT ({' OR '.join(nan)}))", BOOL, [a, b])
            return self.made(f"({x} {sign} {y})", BOOL, [a, b])
        kind = self.common([a, b], node)
        if kind.name == "Json":
            raise self.error(node, f"{sign} of Json is outside the subset")
        x, y = (self.sql(self.converted(one, kind, node)) for one in (a, b))
        return self.made(f"({x} {sign} {y})", BOOL, [a, b])

    def _logic(self, node: Any, scope: Scope) -> Expression:
        word = "AND" if isinstance(node, exp.And) else "OR"
        values = [self.expression(one, scope) for one in (node.this, node.expression)]
        return self.made(f"({f' {word} '.join(self.condition(one, node) for one in values)})", BOOL, values)

    def _not(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        return self.made(f"(NOT {self.condition(value, node)})", BOOL, [value])

    def _is(self, node: Any, scope: Scope) -> Expression:
        if not isinstance(node.expression, exp.Null):
            raise self._outside(node, "IS other than IS NULL")
        value = self.expression(node.this, scope)
        return self.made(f"({self.sql(value)} IS NULL)", BOOL, [value])

    def _between(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "low", "high")
        value, low, high = (self.expression(node.args[key], scope) for key in ("this", "low", "high"))
        both = [self._compared(value, ">=", low, node), self._compared(value, "<=", high, node)]
        return self.made(f"({both[0].text} AND {both[1].text})", BOOL, both)

    def _like(self, node: Any, scope: Scope) -> Expression:
        word = "LIKE" if isinstance(node, exp.Like) else "ILIKE"
        value, pattern = self.expression(node.this, scope), self.expression(node.expression, scope)
        if value.kind != UTF8 or pattern.kind not in (UTF8, STRING) or not pattern.known:
            raise self.error(node, f"{word} takes a Utf8 and a literal, found {value.kind} and {pattern.kind}")
        text = self.sql(self.converted(pattern, UTF8, node))
        return self.made(f"({self.sql(value)} {word} {text})", BOOL, [value])

    def _concat(self, node: Any, scope: Scope) -> Expression:
        values = [self.expression(one, scope) for one in (node.this, node.expression)]
        kind = self.common(values, node).untagged
        if kind not in (STRING, UTF8):
            raise self.error(node, f"|| takes strings, found {kind}")
        return self.made(f"({' || '.join(self.sql(self.converted(one, kind, node)) for one in values)})", kind, values)

    def _in(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "expressions", "query", "field")
        value = self.expression(node.this, scope)
        query = node.args.get("query")
        within = node.args.get("field")
        if query is not None:
            return self._in_select(value, self.select(query.this), node)
        if within is None:
            values = [self.expression(one, scope) for one in node.expressions]
            kind = self.common([value, *values], node)
            texts = [self.sql(self.converted(one, kind, node)) for one in values]
            left = self.sql(self.converted(value, kind, node))
            return self.made(f"({left} IN ({', '.join(texts)}))", BOOL, [value, *values])
        if isinstance(within, exp.Parameter) and isinstance(self.lookup(within.this.this, within), Select):
            return self._in_select(value, self.lookup(within.this.this, within), node)
        values_list = self.expression(within, scope)
        if values_list.kind.item is None:
            raise self.error(node, f"IN takes a list or a SELECT, found {values_list.kind}")
        kind = self.common([value, Expression("", values_list.kind.item)], node)
        lists = self.sql(self.converted(values_list, list_of(kind), node))
        return self.made(f"list_contains({lists}, {self.sql(self.converted(value, kind, node))})", BOOL, [value])

    def _in_select(self, value: Expression, query: Select, node: Any) -> Expression:
        if len(query.columns) != 1:
            raise self.error(node, f"IN takes a SELECT of one column, found {len(query.columns)}")
        _, physical, kind = query.columns[0]
        shared = self.common([value, Expression("", kind)], node)
        inner = self.sql(self.converted(Expression(f"q.{quoted(physical)}", kind), shared, node))
        left = self.sql(self.converted(value, shared, node))
        return self.made(f"({left} IN (SELECT {inner} FROM ({query.text}) AS q))", BOOL, [value])

    def _case(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "ifs", "default")
        subject = self.expression(node.this, scope) if node.this is not None else None
        conditions, values = [], []
        for branch in node.args["ifs"]:
            when = self.expression(branch.this, scope)
            if subject is not None:
                when = self._compared(subject, "=", when, branch)
            conditions.append(self.condition(when, branch))
            values.append(self.expression(branch.args["true"], scope))
        default = node.args.get("default")
        values.append(self.constant(None, NULL) if default is None else self.expression(default, scope))
        kind = self.common(values, node)
        texts = [self.sql(self.converted(one, kind, node)) for one in values]
        branches = " ".join(f"WHEN {when} THEN {text}" for when, text in zip(conditions, texts, strict=False))
        return self.made(f"(CASE {branches} ELSE {texts[-1]} END)", kind, values)

    def _coalesce(self, node: Any, scope: Scope) -> Expression:
        values = [self.expression(one, scope) for one in (node.this, *node.expressions)]
        kind = self.common(values, node)
        texts = [self.sql(self.converted(one, kind, node)) for one in values]
        return self.made(f"coalesce({', '.join(texts)})", kind, values)

    def _cast(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        try:
            to = named(node.meta["kind"])
        except ValueError as error:
            raise self.error(node.meta["kind"].start, str(error)) from None
        return self.cast(value, to, node)

    def _bool(self, node: Any, scope: Scope) -> Expression:
        return self.constant(bool(node.this), BOOL)

    def _null(self, node: Any, scope: Scope) -> Expression:
        return self.constant(None, NULL)

    def _subscript(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        if value.kind.item is None or len(node.expressions) != 1:
            raise self._outside(node, "[] of other than a list")
        index = self.expression(node.expressions[0], scope)
        if not index.kind.whole:
            raise self.error(node, f"expected a whole number, found {index.kind}")
        at = self.sql(index)
        text = f"(CASE WHEN {at} >= 0 THEN ({self.sql(value)})[CAST({at} AS BIGINT) + 1] END)"
        return self.made(text, value.kind.item, [value, index])

    def _subquery(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this")
        query = self.select(node.this)
        if len(query.columns) != 1:
            raise self.error(node, f"a SELECT as a value has one column, found {len(query.columns)}")
        return Expression(f"({query.text})", query.columns[0][2], free=True)

    def _exists(self, node: Any, scope: Scope) -> Expression:
        return Expression(f"EXISTS ({self.select(node.this).text})", BOOL)

    def _window(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "partition_by", "order", "alias", "over")
        alias = node.args.get("alias")
        about = node
        if alias is not None:
            if alias.name not in scope.windows:
                raise self.error(node, f"unknown window {alias.name}")
            about = scope.windows[alias.name]
            self._allow(about, "this", "partition_by", "order")
        value = self.expression(node.this, scope)
        if not isinstance(node.this, exp.Anonymous):
            raise self._outside(node, "this window function")
        parts = []
        partition = about.args.get("partition_by") or []
        if partition:
            parts.append("PARTITION BY " + ", ".join(self.sql(self.expression(one, scope)) for one in partition))
        order = about.args.get("order")
        if order is not None:
            parts.append(self._order(order, scope))
        text = value.text
        cast = text.startswith("CAST(") and text.endswith(")")
        if cast:  # the window belongs to the function within
            head, _, kind = text[5:-1].rpartition(" AS ")
            return Expression(f"CAST({head} OVER ({' '.join(parts)}) AS {kind})", value.kind)
        return Expression(f"{text} OVER ({' '.join(parts)})", value.kind)

    def _order(self, node: Any, scope: Scope) -> str:
        self._allow(node, "expressions")
        keys = []
        for one in node.expressions:
            self._allow(one, "this", "desc", "nulls_first")
            value = self.expression(one.this, scope)
            if value.kind.item is not None or value.kind.name == "Json":
                raise self.error(one, f"ORDER BY of {value.kind} is outside the subset")
            if value.known:  # the same for all rows; as a number it would name a column
                continue
            keys.append(f"{value.text} DESC NULLS LAST" if one.args.get("desc") else f"{value.text} ASC NULLS FIRST")
        return "ORDER BY " + ", ".join(keys) if keys else ""


_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
_COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_RULES: dict[type, Any] = {
    exp.Literal: Expressions._string,
    NumberList: Expressions._numbers,
    exp.Array: Expressions._list,
    exp.Parameter: Expressions._named,
    exp.Column: Expressions._column,
    exp.Anonymous: Expressions._call,
    Invoke: Expressions._invoke,
    exp.Paren: Expressions._paren,
    exp.Neg: Expressions._neg,
    **dict.fromkeys(_ARITHMETIC, Expressions._arithmetic),
    **dict.fromkeys(_COMPARISONS, Expressions._compare),
    exp.And: Expressions._logic,
    exp.Or: Expressions._logic,
    exp.Not: Expressions._not,
    exp.Is: Expressions._is,
    exp.Between: Expressions._between,
    exp.Like: Expressions._like,
    exp.ILike: Expressions._like,
    exp.DPipe: Expressions._concat,
    exp.In: Expressions._in,
    exp.Case: Expressions._case,
    exp.Coalesce: Expressions._coalesce,
    CastTo: Expressions._cast,
    exp.Boolean: Expressions._bool,
    exp.Null: Expressions._null,
    exp.Bracket: Expressions._subscript,
    exp.Subquery: Expressions._subquery,
    exp.Exists: Expressions._exists,
    exp.Window: Expressions._window,
}
