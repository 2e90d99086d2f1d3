"""Operators, conditions, CASE and literals: a function a kind of node, which gives the compiled expression."""

from typing import Any

from vicinal.sql.compile.casts import cast
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import Call, Cast, Column, Derived, Join, Node, Operation, Phrase, Select, Word, enclosed
from vicinal.sql.compile.values import Expression, Relation, Scope, constant, of_type
from vicinal.sql.parse import literals
from vicinal.sql.parse.dialect import exp
from vicinal.sql.parse.literals import BITS
from vicinal.sql.types import BOOL, NULL, STRING, UTF8, Type, list_of, named

ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}


# Literals.


def string(low: Conversion, node: Any, scope: Scope) -> Expression:
    """A string's or number's literal."""
    if not node.args["is_string"]:
        return _number(low, node)
    try:
        data, kind = literals.read_string(node.this)
    except ValueError as error:
        raise low.error(node, str(error)) from None
    value = constant(data, STRING)
    return value if kind == "String" else low.converted(value, Type(kind), node)


def _number(low: Conversion, node: Any, sign: str = "") -> Expression:
    try:
        value, kind = literals.read_number(sign + node.this)
    except ValueError as error:
        raise low.error(node, str(error)) from None
    return constant(value, Type(kind))


def numbers(low: Conversion, node: Any, scope: Scope) -> Expression:
    """A list of plain numbers."""
    try:
        values, kind = literals.read_list(node.this)
    except ValueError as error:
        raise low.error(node, str(error)) from None
    return constant(values, list_of(Type(kind)))


def array(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`[a, b]`."""
    low.allow(node, "expressions")
    return low.listed([low.expression(one, scope) for one in node.expressions], node)


def boolean(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`true`, `false`."""
    return constant(bool(node.this), BOOL)


def null(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`NULL`."""
    return constant(None, NULL)


# Numbers and strings.


def paren(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`(a)`; nodes keep their order without parentheses."""
    return low.expression(node.this, scope)


def negative(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`-a`."""
    if isinstance(node.this, exp.Literal) and not node.this.args["is_string"]:
        return _number(low, node.this, "-")
    value = low.expression(node.this, scope)
    if value.kind == NULL:
        return value
    if not value.kind.numeric:
        raise low.error(node, f"- takes a number, found {value.kind}; use CAST")
    if value.known and value.value is not None:
        kind = value.kind
        if kind.whole and not BITS[kind.name][0] <= -value.value:
            raise low.error(node, f"-{value.value} does not fit {kind}; use CAST to a signed type")
        return constant(-value.value, kind)
    return Expression(Phrase(("(-", value.node, ")")), value.kind)


def arithmetic(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a + b` and the like."""
    sign = ARITHMETIC[type(node)]
    a, b = low.expression(node.this, scope), low.expression(node.expression, scope)
    for one in (a, b):
        if one.kind != NULL and not one.kind.numeric:
            raise low.error(node, f"{sign} takes numbers, found {one.kind}; use CAST")
    if NULL in (a.kind, b.kind):
        return constant(None, a.kind if b.kind == NULL else b.kind)
    kind = low.common([a, b], node)
    result: Node = Operation("//" if sign == "/" and kind.whole else sign, [a.node, b.node])
    return Expression(result if a.kind == b.kind else Cast(result, kind.duck), kind)


def concat(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a || b`."""
    values = [low.expression(one, scope) for one in (node.this, node.expression)]
    kind = low.common(values, node).untagged
    if kind not in (STRING, UTF8):
        raise low.error(node, f"|| takes strings, found {kind}; use CAST")
    return Expression(Operation("||", [low.converted(one, kind, node).node for one in values]), kind)


def coalesce(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a ?? b`."""
    return first_not_null(low, [low.expression(one, scope) for one in (node.this, *node.expressions)], node)


def first_not_null(low: Conversion, values: list[Expression], node: Any) -> Expression:
    """The first of several values that is not NULL."""
    kind = low.common(values, node)
    return Expression(Call("coalesce", [low.converted(one, kind, node).node for one in values]), kind)


def cast_to(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`CAST(a AS Type)`."""
    value = low.expression(node.this, scope)
    try:
        to = named(node.meta["kind"])
    except ValueError as error:
        raise low.error(node.meta["kind"].start, str(error)) from None
    return cast(low, value, to, node)


def subscript(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`list[i]`, counted from 0; NULL outside the list."""
    value = low.expression(node.this, scope)
    if value.kind.item is None or len(node.expressions) != 1:
        raise low.outside(node, "[] of other than a list")
    index = low.expression(node.expressions[0], scope)
    if not index.kind.whole:
        raise low.error(node, f"expected a whole number in [], found {index.kind}; use CAST")
    item = Phrase((enclosed(value.node), "[", Cast(index.node, "BIGINT"), " + 1]"))
    inside = Operation(">=", [index.node, Word("0")])
    return Expression(Phrase(("(CASE WHEN ", inside, " THEN ", item, " END)")), value.kind.item)


# Conditions.


def compare(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a = b` and the like."""
    a, b = low.expression(node.this, scope), low.expression(node.expression, scope)
    return compared(low, a, COMPARISONS[type(node)], b, node)


def compared(low: Conversion, a: Expression, sign: str, b: Expression, node: Any) -> Expression:
    """The comparison of two expressions."""
    if (a.kind.item is not None or b.kind.item is not None) and sign not in ("=", "<>"):
        raise low.outside(node, f"{sign} of lists")
    if a.kind.numeric and b.kind.numeric:  # exact as they are: DuckDB widens both
        whole: Node = Operation(sign, [a.node, b.node])
        # In DuckDB NaN is the greatest value, and equal to itself; here it is unequal to everything.
        nan = [Call("isnan", [one.node]) for one in (a, b) if one.kind.real and not one.known]
        if nan and sign == "<>":
            whole = Operation("OR", [whole, *nan])
        elif nan:
            whole = Operation("AND", [whole, Phrase(("NOT ", Operation("OR", nan)))])
        return Expression(whole, BOOL)
    kind = low.common([a, b], node)
    if kind.name == "Json":
        raise low.outside(node, f"{sign} of Json")
    return Expression(Operation(sign, [low.converted(one, kind, node).node for one in (a, b)]), BOOL)


def logic(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a AND b`, `a OR b`."""
    values = [low.expression(one, scope) for one in (node.this, node.expression)]
    word = "AND" if isinstance(node, exp.And) else "OR"
    return Expression(Operation(word, [low.condition(one, node) for one in values]), BOOL)


def negation(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`NOT a`."""
    value = low.expression(node.this, scope)
    return Expression(Phrase(("(NOT ", low.condition(value, node), ")")), BOOL)


def is_null(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a IS NULL`."""
    if not isinstance(node.expression, exp.Null):
        raise low.outside(node, "IS other than IS NULL")
    value = low.expression(node.this, scope)
    return Expression(Phrase(("(", value.node, " IS NULL)")), BOOL)


def between(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a BETWEEN b AND c`."""
    low.allow(node, "this", "low", "high")
    value, least, most = (low.expression(node.args[key], scope) for key in ("this", "low", "high"))
    ends = [compared(low, value, ">=", least, node), compared(low, value, "<=", most, node)]
    return Expression(Operation("AND", [one.node for one in ends]), BOOL)


def like(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a LIKE "..."`, `a ILIKE "..."`."""
    word = "LIKE" if isinstance(node, exp.Like) else "ILIKE"
    value, pattern = low.expression(node.this, scope), low.expression(node.expression, scope)
    if value.kind != UTF8 or pattern.kind not in (UTF8, STRING) or not pattern.known:
        raise low.error(node, f"{word} takes a Utf8 and a literal, found {value.kind} and {pattern.kind}; use CAST")
    return Expression(Operation(word, [value.node, low.converted(pattern, UTF8, node).node]), BOOL)


def within(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`a IN (b, c)`, `a IN (SELECT ...)`, `a IN list`."""
    low.allow(node, "this", "expressions", "query", "field")
    value = low.expression(node.this, scope)
    query, among = node.args.get("query"), node.args.get("field")
    if query is not None:
        return _in_select(low, value, low.select(query.this), node)
    if among is None:
        values = [low.expression(one, scope) for one in node.expressions]
        kind = low.common([value, *values], node)
        left, *items = (low.converted(one, kind, node).node for one in (value, *values))
        return Expression(Operation("IN", [left, enclosed(Join(items))]), BOOL)
    if isinstance(among, exp.Parameter):
        found = low.lookup(among.this.this, among)
        if isinstance(found, Relation):
            return _in_select(low, value, found, node)
    items_list = low.expression(among, scope)
    if items_list.kind.item is None:
        raise low.error(node, f"IN takes a list or a SELECT, found {items_list.kind}")
    kind = low.common([value, of_type(items_list.kind.item)], node)
    lists = low.converted(items_list, list_of(kind), node).node
    return Expression(Call("list_contains", [lists, low.converted(value, kind, node).node]), BOOL)


def _in_select(low: Conversion, value: Expression, query: Relation, node: Any) -> Expression:
    if len(query.columns) != 1:
        raise low.error(node, f"IN takes a SELECT of one column, found {len(query.columns)}; name one")
    (column,) = query.columns
    shared = low.common([value, of_type(column.kind)], node)
    inner = low.converted(Expression(Column("q", column.physical), column.kind), shared, node).node
    left = low.converted(value, shared, node).node
    return Expression(Operation("IN", [left, enclosed(Select([inner], Derived(query.node, "q")))]), BOOL)


def case(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`CASE WHEN a THEN b ELSE c END`, `CASE a WHEN b THEN c END`."""
    low.allow(node, "this", "ifs", "default")
    subject = low.expression(node.this, scope) if node.this is not None else None
    conditions, values = [], []
    for branch in node.args["ifs"]:
        when = low.expression(branch.this, scope)
        if subject is not None:
            when = compared(low, subject, "=", when, branch)
        conditions.append(low.condition(when, branch))
        values.append(low.expression(branch.args["true"], scope))
    default = node.args.get("default")
    values.append(constant(None, NULL) if default is None else low.expression(default, scope))
    return chosen(low, conditions, values, node)


def chosen(low: Conversion, conditions: list[Node], values: list[Expression], node: Any) -> Expression:
    """The value beside the first condition that is true; the last value has no condition."""
    kind = low.common(values, node)
    *branches, default = (low.converted(one, kind, node).node for one in values)
    parts: list[str | Node] = ["(CASE"]
    for when, value in zip(conditions, branches, strict=True):
        parts += [" WHEN ", when, " THEN ", value]
    return Expression(Phrase([*parts, " ELSE ", default, " END)"]), kind)


def subquery(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`(SELECT ...)` as a value."""
    low.allow(node, "this")
    query = low.select(node.this)
    if len(query.columns) != 1:
        raise low.error(node, f"a SELECT as a value has one column, found {len(query.columns)}; name one")
    return Expression(enclosed(query.node), query.columns[0].kind)


def exists(low: Conversion, node: Any, scope: Scope) -> Expression:
    """`EXISTS (SELECT ...)`."""
    return Expression(Phrase(("EXISTS ", enclosed(low.select(node.this).node))), BOOL)
