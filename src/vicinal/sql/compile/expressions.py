"""Expressions: names, columns, calls, lambdas and windows.

Each kind of node has its rule in one table, `_RULES`; what has none there is an error with its line, column and name.
`operators` has the rules that need no names.
"""

import difflib
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from vicinal.sql.compile import fulltext, functions, jsons, operators, structs
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import Closure, Node, Phrase, Variable, Window, enclosed, over
from vicinal.sql.compile.ties import breaking
from vicinal.sql.compile.values import Deferred, Evaluate, Expression, Lambda, Relation, Scope
from vicinal.sql.faults import REMEDIES, outside
from vicinal.sql.parse.dialect import CastTo, Invoke, JsonCall, LambdaBlock, NumberList, exp
from vicinal.sql.types import Type

MOST_NODES = 100_000  # of what names and lambdas of a statement stand for, counted at each use


class Expressions(Conversion, ABC):
    """The expressions of one statement.

    text, evaluate, start : as `Conversion` takes them
    names                 : what `$name` stands for: an Expression, or a Deferred
    """

    def __init__(self, text: str, names: dict[str, Any], evaluate: Evaluate, start: int = 0) -> None:
        super().__init__(text, evaluate, start)
        self.names = names
        self._compiled: dict[Deferred, Expression | Relation | Lambda] = {}
        self._variables = 0
        self._spent = self._inside = 0
        self._sizes: dict[int, int] = {}  # of the nodes in `_compiled`, which live as long

    def expression(self, node: Any, scope: Scope) -> Expression:
        """Any expression, compiled."""
        if self._inside:
            self._spent += 1
            self._refuse_size(node)
        rule = _RULES.get(type(node))
        if rule is None:
            raise self.outside(node)
        return rule(self, node, scope)

    # Names and columns.

    def _named(self, node: Any, scope: Scope) -> Expression:
        name = node.this.this
        found = self.lookup(name, node)
        if isinstance(found, Lambda):
            raise self.error(node, f"${name} is a lambda: call it, ${name}(x), or pass it to ListMap")
        if isinstance(found, Relation):
            if len(found.columns) != 1:
                raise self.error(node, f"${name} has {len(found.columns)} columns; as a value it must have one")
            return Expression(enclosed(found.node), found.columns[0].kind)
        return found

    def lookup(self, name: str, node: Any) -> Expression | Relation | Lambda:
        """What `$name` stands for."""
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"did you mean ${near[0]}?" if near else f"write ${name} = ...; before, or give it as a parameter"
            raise self.error(node, f"unknown name ${name}; {hint}")
        found = self.names[name]
        if not isinstance(found, Deferred):
            known: Expression | Relation | Lambda = found
            return known
        if found not in self._compiled:
            self._compiled[found] = self._deferred(found)
        compiled = self._compiled[found]
        if not isinstance(compiled, Lambda):
            self._spend(compiled.node, node)
        return compiled

    def _spend(self, root: Node, node: Any) -> None:
        """Counts the nodes of what a name stands for; names that double each other would never end."""
        if id(root) not in self._sizes:
            self._sizes[id(root)] = self._size(root)
        self._spent += self._sizes[id(root)]
        self._refuse_size(node)

    def _size(self, node: Node) -> int:
        known = self._sizes.get(id(node))
        return known or 1 + sum(self._size(piece) for piece in node._pieces() if not isinstance(piece, str))

    def _refuse_size(self, node: Any) -> None:
        if self._spent > MOST_NODES:
            message = f"this statement becomes more than {MOST_NODES:,} parts, as names stand in it that hold others"
            raise self.error(node, f"{message}; put what repeats into a table")

    def _deferred(self, found: Deferred) -> Expression | Relation | Lambda:
        if isinstance(found.node, exp.Lambda):
            return _lambda(found.node, found.names)
        with self.seeing(found.names):
            if isinstance(found.node, exp.Query):
                return self.select(found.node)
            return self.expression(found.node, Scope())

    @contextmanager
    def seeing(self, names: dict[str, Any]) -> Iterator[None]:
        """Uses other names within a block."""
        outer, self.names = self.names, names
        try:
            yield
        finally:
            self.names = outer

    def column(self, node: Any, scope: Scope) -> Expression:
        """A column by its name, with its table's or without."""
        self.allow(node, "this", "table")
        if isinstance(node.this, exp.Star):
            raise self.outside(node, "* within an expression")
        name, table = node.name, node.args.get("table")
        if "::" in name:
            raise self.outside(node, f"{name} without ()")
        if table is None and name in scope.outputs:
            return scope.outputs[name]
        sources = [one for one in scope.sources if table is None or one.alias == table.name]
        if table is not None and not sources:
            holder = [value for one in scope.sources for known, value in one.columns if known == table.name]
            if len(holder) == 1 and holder[0].kind.fields:
                return structs.member(self, node, holder[0], name)
            raise self.error(node, no_such("table or alias", table.name, [one.alias for one in scope.sources]))
        found = [value for one in sources for known, value in one.columns if known == name]
        if not found and not scope.sources:
            raise self.error(node, f"unknown column {name}; this SELECT has no FROM")
        if not found:
            raise self.error(node, no_such("column", name, [known for one in sources for known, _ in one.columns]))
        if len(found) > 1:
            raise self.error(node, f"column {name} is in several tables; write alias.{name}")
        return found[0]

    # Calls and lambdas.

    def _call(self, node: Any, scope: Scope) -> Expression:
        if scope.distance is not None and node == scope.distance[0]:
            return scope.distance[1]
        if isinstance(node.this, str) and node.this.lower() in fulltext.FUNCTIONS:
            return fulltext.compiled(self, node, scope)
        value, function = self._called(node, scope)
        if function.window:
            raise self.error(node, f"{function.name} needs a window: {function.name}() OVER (ORDER BY ...)")
        return value

    def _called(self, node: Any, scope: Scope) -> tuple[Expression, functions.Function]:
        """A call's value, and the function."""
        name = node.this if isinstance(node.this, str) else node.this.name
        function = functions.find(name)
        if function is not None and function.name == "AsStruct":
            return self._struct(node, scope), function
        if function is None:
            raise self.error(node, outside(f"function {name}", REMEDIES.get(name.upper(), "") or functions.near(name)))
        arguments = node.expressions
        if len(arguments) == 1 and isinstance(arguments[0], exp.Star) and function.name == "Count":
            arguments = []
        if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct):
            if not function.aggregate:
                raise self.error(
                    arguments[0], f"{function.name} takes no DISTINCT, which aggregates take; leave it out"
                )
            arguments = arguments[0].expressions
        if function.counts and len(arguments) not in function.counts:
            expected = " or ".join(map(str, function.counts))
            raise self.error(
                node, f"{function.name} takes {expected} arguments, found {len(arguments)}; write {function.example}"
            )
        if scope.clause and (function.aggregate or function.window):
            clause = "HAVING" if function.aggregate and scope.clause == "WHERE" else "a SELECT around this one"
            raise self.error(node, outside(f"{function.name} in {scope.clause}", f"filter in {clause}"))
        values = [self._argument(one, scope) for one in arguments]
        if not function.lambdas and any(isinstance(one, Lambda) for one in values):
            raise self.error(node, f"{function.name} takes values, found a lambda; lambdas go to ListMap")
        return function.build(self, node, values), function

    def _struct(self, node: Any, scope: Scope) -> Expression:
        """`AsStruct(value AS name, ...)`."""
        bare = next((one for one in node.expressions if not isinstance(one, exp.Alias)), None)
        if bare is not None:
            raise self.error(bare, "AsStruct takes values with names; write AsStruct(1 AS id)")
        return structs.struct(self, node, {one.alias: self.expression(one.this, scope) for one in node.expressions})

    def _member(self, node: Any, scope: Scope) -> Expression:
        """`value.name`."""
        return structs.member(self, node, self.expression(node.this, scope), node.expression.name)

    def _argument(self, node: Any, scope: Scope) -> Expression | Lambda:
        if isinstance(node, exp.Lambda):
            return _lambda(node, dict(self.names))
        if isinstance(node, exp.Parameter):
            found = self.lookup(node.this.this, node)
            if isinstance(found, Lambda):
                return found
        return self.expression(node, scope)

    def applied(self, function: Any, item: Type, node: Any) -> tuple[Closure, Type]:
        """A lambda over an argument of a type, and the type of its value."""
        if not isinstance(function, Lambda):
            raise self.error(node, "expected a lambda, ($x) -> (...), found a value")
        self._variables += 1
        variable = Variable(f"x{self._variables}")
        body = self._body(function, [Expression(variable, item)], node)
        return Closure(variable, body.node), body.kind

    def _invoke(self, node: Any, scope: Scope) -> Expression:
        name = node.this.this.this
        function = self.lookup(name, node)
        if not isinstance(function, Lambda):
            raise self.error(node, f"${name} is a value, found a call of it; a lambda is ${name} = ($x) -> (...);")
        return self._body(function, [self._argument(one, scope) for one in node.expressions], node)

    def _body(self, function: Lambda, arguments: list[Expression | Lambda], node: Any) -> Expression:
        names = function.arguments
        if len(names) != len(arguments):
            raise self.error(node, f"this lambda takes {len(names)} arguments, found {len(arguments)}")
        self._inside += 1
        with self.seeing({**function.names, **dict(zip(names, arguments, strict=True))}):
            body = function.body
            if isinstance(body, LambdaBlock):
                for name, value in zip(body.args["names"], body.expressions, strict=True):
                    self.names = {**self.names, name.this: self._argument(value, Scope())}
                body = body.this
            found = self.expression(body, Scope())
        self._inside -= 1
        return found

    # Windows and order.

    def _window(self, node: Any, scope: Scope) -> Expression:
        self.allow(node, "this", "partition_by", "order", "alias", "over")
        alias = node.args.get("alias")
        about = node
        if alias is not None:
            if alias.name not in scope.windows:
                raise self.error(node, no_such("window", alias.name, list(scope.windows)))
            about = scope.windows[alias.name]
            self.allow(about, "this", "partition_by", "order")
        if not isinstance(node.this, exp.Anonymous):
            raise self.outside(node, "this window function")
        value, function = self._called(node.this, scope)
        if not (function.aggregate or function.window):
            raise self.error(node, f"{function.name} takes no OVER (...): it is about one row; leave OVER out")
        partition = [self.expression(one, scope).node for one in about.args.get("partition_by") or []]
        order = about.args.get("order")
        keys = self.order(order, scope) if order is not None else []
        if keys and function.name == "Row_Number":  # the one whose value ties would leave open
            keys += breaking(keys, scope.keys)
        window = Window(partition, keys)
        call = over(value.node, window)
        assert call is not None  # an aggregate or window function is a call
        return replace(value, compiled=call)

    def order(self, node: Any, scope: Scope) -> list[Node]:
        """The keys of ORDER BY; one that is the same for all rows is left out, as a number would name a column."""
        self.allow(node, "expressions")
        keys: list[Node] = []
        for one in node.expressions:
            self.allow(one, "this", "desc", "nulls_first")
            value = self.expression(one.this, scope)
            if value.kind.item is not None or value.kind.name == "Json":
                raise self.outside(one, f"ORDER BY of {value.kind}")
            if not value.known:
                keys.append(Phrase((value.node, " DESC NULLS LAST" if one.args.get("desc") else " ASC NULLS FIRST")))
        return keys


def _lambda(node: Any, names: dict[str, Any]) -> Lambda:
    return Lambda([one.this for one in node.expressions], node.this, names)


def no_such(what: str, name: str, have: list[str]) -> str:
    """The message for an unknown name, with the nearest one or all that there are."""
    folded = [one for one in have if one.lower() == name.lower()]
    near = folded or difflib.get_close_matches(name, have, n=1)
    case = " (names are case-sensitive)" if folded else ""
    if near:
        return f"unknown {what} {name}; did you mean {near[0]}{case}?"
    return f"unknown {what} {name}; there is {', '.join(have)}" if have else f"unknown {what} {name}; there is none"


Rule = Callable[[Any, Any, Scope], Expression]
_RULES: dict[type, Rule] = {
    exp.Literal: operators.string,
    NumberList: operators.numbers,
    exp.Array: operators.array,
    exp.Parameter: Expressions._named,
    exp.Column: Expressions.column,
    exp.Anonymous: Expressions._call,
    exp.Dot: Expressions._member,
    Invoke: Expressions._invoke,
    exp.Paren: operators.paren,
    exp.Neg: operators.negative,
    **dict.fromkeys(operators.ARITHMETIC, operators.arithmetic),
    **dict.fromkeys(operators.COMPARISONS, operators.compare),
    exp.And: operators.logic,
    exp.Or: operators.logic,
    exp.Not: operators.negation,
    exp.Is: operators.is_null,
    exp.Between: operators.between,
    exp.Like: operators.like,
    exp.ILike: operators.like,
    exp.DPipe: operators.concat,
    exp.In: operators.within,
    exp.Case: operators.case,
    exp.Coalesce: operators.coalesce,
    CastTo: operators.cast_to,
    JsonCall: jsons.compiled,
    exp.Boolean: operators.boolean,
    exp.Null: operators.null,
    exp.Bracket: operators.subscript,
    exp.Subquery: operators.subquery,
    exp.Exists: operators.exists,
    exp.Window: Expressions._window,
}
