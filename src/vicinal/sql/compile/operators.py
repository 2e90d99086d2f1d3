"""Operators, conditions, CASE and literals: a function a kind of node, which gives the compiled expression."""

from typing import Any

from vicinal.sql.compile.casts import cast
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import (
    Call,
    Cast,
    Column,
    Derived,
    Given,
    Join,
    Node,
    Operation,
    Phrase,
    Select,
    Word,
    enclosed,
)
from vicinal.sql.compile.structs import column_of
from vicinal.sql.compile.values import Expression, Relation, Scope, constant, of_type
from vicinal.sql.parse import literals
from vicinal.sql.parse.dialect import exp
from vicinal.sql.parse.literals import BITS
from vicinal.sql.types import BOOL, NULL, STRING, UTF8, Type, list_of, named

ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
FEW = 50  # a longer list of IN is hashed as a table


# Literals.


def string(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """A string's or number's literal."""
    if not node.args["is_string"]:
        return _number(compiler, node)
    try:
        data, kind = literals.read_string(node.this)
    except ValueError as error:
        raise compiler.error(node, str(error)) from None
    value = constant(data, STRING)
    return value if kind == "String" else compiler.converted(value, Type(kind), node)


def _number(compiler: Conversion, node: Any, sign: str = "") -> Expression:
    try:
        value, kind = literals.read_number(sign + node.this)
    except ValueError as error:
        raise compiler.error(node, str(error)) from None
    return constant(value, Type(kind))


def numbers(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """A list of plain numbers."""
    try:
        values, kind = literals.read_list(node.this)
    except ValueError as error:
        raise compiler.error(node, str(error)) from None
    return constant(values, list_of(Type(kind)))


def array(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`[a, b]`."""
    compiler.allow(node, "expressions")
    return compiler.listed([compiler.expression(one, scope) for one in node.expressions], node)


def boolean(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`true`, `false`."""
    return constant(bool(node.this), BOOL)


def null(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`NULL`."""
    return constant(None, NULL)


# Numbers and strings.


def paren(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`(a)`; nodes keep their order without parentheses."""
    return compiler.expression(node.this, scope)


def negative(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`-a`."""
    if isinstance(node.this, exp.Literal) and not node.this.args["is_string"]:
        return _number(compiler, node.this, "-")
    value = compiler.expression(node.this, scope)
    if value.kind == NULL:
        return value
    if not value.kind.numeric:
        raise compiler.error(node, f"- takes a number, found {value.kind}; use CAST")
    if value.known and value.value is not None:
        kind = value.kind
        if kind.whole and not BITS[kind.name][0] <= -value.value:
            raise compiler.error(node, f"-{value.value} does not fit {kind}; use CAST to a signed type")
        return constant(-value.value, kind)
    return Expression(Phrase(("(-", value.node, ")")), value.kind)


def arithmetic(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a + b` and the like."""
    sign = ARITHMETIC[type(node)]
    a, b = compiler.expression(node.this, scope), compiler.expression(node.expression, scope)
    for one in (a, b):
        if one.kind != NULL and not one.kind.numeric:
            raise compiler.error(node, f"{sign} takes numbers, found {one.kind}; use CAST")
    if NULL in (a.kind, b.kind):
        return constant(None, a.kind if b.kind == NULL else b.kind)
    kind = compiler.common([a, b], node)
    result: Node = Operation("//" if sign == "/" and kind.whole else sign, [a.node, b.node])
    return Expression(result if a.kind == b.kind else Cast(result, kind.duck), kind)


def concat(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a || b`."""
    values = [compiler.expression(one, scope) for one in (node.this, node.expression)]
    kind = compiler.common(values, node).untagged
    if kind not in (STRING, UTF8):
        raise compiler.error(node, f"|| takes strings, found {kind}; use CAST")
    return Expression(Operation("||", [compiler.converted(one, kind, node).node for one in values]), kind)


def coalesce(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a ?? b`."""
    return first_not_null(compiler, [compiler.expression(one, scope) for one in (node.this, *node.expressions)], node)


def first_not_null(compiler: Conversion, values: list[Expression], node: Any) -> Expression:
    """The first of several values that is not NULL."""
    kind = compiler.common(values, node)
    return Expression(Call("coalesce", [compiler.converted(one, kind, node).node for one in values]), kind)


def cast_to(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`CAST(a AS Type)`."""
    value = compiler.expression(node.this, scope)
    try:
        to = named(node.meta["kind"])
    except ValueError as error:
        raise compiler.error(node.meta["kind"].start, str(error)) from None
    return cast(compiler, value, to, node)


def subscript(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`list[i]`, counted from 0; NULL outside the list."""
    value = compiler.expression(node.this, scope)
    if value.kind.item is None or len(node.expressions) != 1:
        raise compiler.outside(node, "[] of other than a list")
    index = compiler.expression(node.expressions[0], scope)
    if not index.kind.whole:
        raise compiler.error(node, f"expected a whole number in [], found {index.kind}; use CAST")
    item = Phrase((enclosed(value.node), "[", Cast(index.node, "BIGINT"), " + 1]"))
    inside = Operation(">=", [index.node, Word("0")])
    return Expression(Phrase(("(CASE WHEN ", inside, " THEN ", item, " END)")), value.kind.item)


# Conditions.


def compare(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a = b` and the like."""
    a, b = compiler.expression(node.this, scope), compiler.expression(node.expression, scope)
    return compared(compiler, a, COMPARISONS[type(node)], b, node)


def compared(compiler: Conversion, a: Expression, sign: str, b: Expression, node: Any) -> Expression:
    """The comparison of two expressions."""
    if (a.kind.item is not None or b.kind.item is not None) and sign not in ("=", "<>"):
        raise compiler.outside(node, f"{sign} of lists")
    if a.kind.numeric and b.kind.numeric:  # exact as they are: DuckDB widens both
        whole: Node = Operation(sign, [a.node, b.node])
        # In DuckDB NaN is the greatest value, and equal to itself; here it is unequal to everything.
        nan = [Call("isnan", [one.node]) for one in (a, b) if one.kind.real and not one.known]
        if nan and sign == "<>":
            whole = Operation("OR", [whole, *nan])
        elif nan:
            whole = Operation("AND", [whole, Phrase(("NOT ", Operation("OR", nan)))])
        return Expression(whole, BOOL)
    if all(one.kind.numeric or one.kind.decimal for one in (a, b)):
        return Expression(Operation(sign, [a.node, b.node]), BOOL)
    kind = compiler.common([a, b], node)
    if kind.name == "Json":
        raise compiler.outside(node, f"{sign} of Json")
    return Expression(Operation(sign, [compiler.converted(one, kind, node).node for one in (a, b)]), BOOL)


def logic(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a AND b`, `a OR b`."""
    values = [compiler.expression(one, scope) for one in (node.this, node.expression)]
    word = "AND" if isinstance(node, exp.And) else "OR"
    return Expression(Operation(word, [compiler.condition(one, node) for one in values]), BOOL)


def negation(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`NOT a`."""
    value = compiler.expression(node.this, scope)
    return Expression(Phrase(("(NOT ", compiler.condition(value, node), ")")), BOOL)


def is_null(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a IS NULL`."""
    if not isinstance(node.expression, exp.Null):
        raise compiler.outside(node, "IS other than IS NULL")
    value = compiler.expression(node.this, scope)
    return Expression(Phrase(("(", value.node, " IS NULL)")), BOOL)


def between(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a BETWEEN b AND c`."""
    compiler.allow(node, "this", "low", "high")
    value, least, most = (compiler.expression(node.args[key], scope) for key in ("this", "low", "high"))
    ends = [compared(compiler, value, ">=", least, node), compared(compiler, value, "<=", most, node)]
    return Expression(Operation("AND", [one.node for one in ends]), BOOL)


def like(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a LIKE "..."`, `a ILIKE "..."`."""
    word = "LIKE" if isinstance(node, exp.Like) else "ILIKE"
    value, pattern = compiler.expression(node.this, scope), compiler.expression(node.expression, scope)
    if value.kind != UTF8 or pattern.kind not in (UTF8, STRING) or not pattern.known:
        raise compiler.error(
            node, f"{word} takes a Utf8 and a literal, found {value.kind} and {pattern.kind}; use CAST"
        )
    return Expression(Operation(word, [value.node, compiler.converted(pattern, UTF8, node).node]), BOOL)


def within(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`a IN (b, c)`, `a IN (SELECT ...)`, `a IN list`."""
    compiler.allow(node, "this", "expressions", "query", "field")
    value = compiler.expression(node.this, scope)
    query, among = node.args.get("query"), node.args.get("field")
    if query is not None:
        return _in_select(compiler, value, compiler.select(query.this), node)
    if among is None:
        values = [compiler.expression(one, scope) for one in node.expressions]
        kind = compiler.common([value, *values], node)
        left, *items = (compiler.converted(one, kind, node).node for one in (value, *values))
        return Expression(Operation("IN", [left, enclosed(Join(items))]), BOOL)
    if isinstance(among, exp.Parameter):
        found = compiler.lookup(among.this.this, among)
        if isinstance(found, Relation):
            return _in_select(compiler, value, found, node)
    items_list = compiler.expression(among, scope)
    items_list = getattr(items_list.value, "numbers", items_list)  # a list of numbers without DECLARE
    if items_list.kind.item is None:
        raise compiler.error(node, f"IN takes a list or a SELECT, found {items_list.kind}")
    kind = compiler.common([value, of_type(items_list.kind.item)], node)
    if items_list.known and items_list.value is not None and len(items_list.value) > FEW:
        items = compiler.converted(items_list, list_of(kind), node).value
        held = Given(column_of(items, kind))
        left = compiler.converted(value, kind, node).node
        return Expression(Phrase(("(", left, " IN (SELECT v FROM ", held, "))")), BOOL)
    lists = compiler.converted(items_list, list_of(kind), node).node
    return Expression(Call("list_contains", [lists, compiler.converted(value, kind, node).node]), BOOL)


def _in_select(compiler: Conversion, value: Expression, query: Relation, node: Any) -> Expression:
    if len(query.columns) != 1:
        raise compiler.error(node, f"IN takes a SELECT of one column, found {len(query.columns)}; name one")
    (column,) = query.columns
    shared = compiler.common([value, of_type(column.kind)], node)
    inner = compiler.converted(Expression(Column("q", column.physical), column.kind), shared, node).node
    left = compiler.converted(value, shared, node).node
    return Expression(Operation("IN", [left, enclosed(Select([inner], Derived(query.node, "q")))]), BOOL)


def case(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`CASE WHEN a THEN b ELSE c END`, `CASE a WHEN b THEN c END`."""
    compiler.allow(node, "this", "ifs", "default")
    subject = compiler.expression(node.this, scope) if node.this is not None else None
    conditions, values = [], []
    for branch in node.args["ifs"]:
        when = compiler.expression(branch.this, scope)
        if subject is not None:
            when = compared(compiler, subject, "=", when, branch)
        conditions.append(compiler.condition(when, branch))
        values.append(compiler.expression(branch.args["true"], scope))
    default = node.args.get("default")
    values.append(constant(None, NULL) if default is None else compiler.expression(default, scope))
    return chosen(compiler, conditions, values, node)


def chosen(compiler: Conversion, conditions: list[Node], values: list[Expression], node: Any) -> Expression:
    """The value beside the first condition that is true; the last value has no condition."""
    kind = compiler.common(values, node)
    *branches, default = (compiler.converted(one, kind, node).node for one in values)
    parts: list[str | Node] = ["(CASE"]
    for when, value in zip(conditions, branches, strict=True):
        parts += [" WHEN ", when, " THEN ", value]
    return Expression(Phrase([*parts, " ELSE ", default, " END)"]), kind)


def subquery(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`(SELECT ...)` as a value."""
    compiler.allow(node, "this")
    query = compiler.select(node.this)
    if len(query.columns) != 1:
        raise compiler.error(node, f"a SELECT as a value has one column, found {len(query.columns)}; name one")
    return Expression(enclosed(query.node), query.columns[0].kind)


def exists(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """`EXISTS (SELECT ...)`."""
    return Expression(Phrase(("EXISTS ", enclosed(compiler.select(node.this).node))), BOOL)
