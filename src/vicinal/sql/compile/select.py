"""SELECT and its clauses.

Each expression is compiled with its type, because the two languages differ where types do: a string is bytes in YQL and
text in DuckDB, whole numbers divide differently, NULL sorts first, NaN compares as unequal.
"""

from collections.abc import Callable
from typing import Any

from vicinal.sql.catalog import Table
from vicinal.sql.compile import hybrid, nearest
from vicinal.sql.compile.conversion import CONSTRUCTS
from vicinal.sql.compile.expressions import Expressions, no_such
from vicinal.sql.compile.nodes import (
    As,
    Call,
    Column,
    Derived,
    Join,
    Name,
    Node,
    Operation,
    Phrase,
    Select,
    Word,
    both,
)
from vicinal.sql.compile.operators import compared
from vicinal.sql.compile.outputs import compares, distinct_names, projections, unique_outputs
from vicinal.sql.compile.structs import as_table
from vicinal.sql.compile.ties import aggregates, breaking
from vicinal.sql.compile.values import Expression, Output, Relation, Scope, Source, of_table, of_type
from vicinal.sql.compile.views import Probe, visited
from vicinal.sql.faults import UnknownTable, place
from vicinal.sql.parse.dialect import exp, start_of
from vicinal.sql.parse.statements import Name as Written

JOINS = ("INNER", "LEFT", "RIGHT", "FULL", "CROSS", "LEFT SEMI")
PAIRS = "~pairs"


class Compiler(Expressions):
    """Compiles the SELECTs and expressions of one statement.

    text     : the whole text
    tables   : the catalog
    names    : what `$name` stands for: an Expression, or a Deferred
    evaluate : gives the value of an expression that is the same for all rows
    probe    : gives the clusters that a search visits, of a table's index for a target
    start    : where the statement begins
    """

    def __init__(
        self,
        text: str,
        tables: dict[str, Table],
        names: dict[str, Any],
        evaluate: Callable[[Node, int], Any],
        probe: Probe,
        start: int = 0,
    ) -> None:
        super().__init__(text, names, evaluate, start)
        self._tables, self._probe = tables, probe
        self._pairs: tuple[Any, dict[str, str]] | None = None
        self.located: Callable[[str], str] = str  # gives the table that a name stands for
        self.read: set[str] = set()  # the tables that were looked up

    def keep_pairs(self, inner: Any, columns: dict[str, str]) -> None:
        """Cuts one SELECT down to the pairs of rows in the table `PAIRS`.

        columns : for each alias of the SELECT, the column of `PAIRS` with its row ids
        """
        self._pairs = inner, columns

    def table(self, name: Written) -> Table:
        """A table of the catalog."""
        found = self.located(name.text)
        if found not in self._tables:
            message = no_such("table", found, list(self._tables))
            raise UnknownTable(message, *place(self.source, self.at(name)))
        self.read.add(found)
        return self._tables[found]

    def select(self, node: Any) -> Relation:
        """A SELECT, compiled; it sees no columns of a query around it."""
        while isinstance(node, exp.Subquery) and not node.args.get("alias"):
            self.allow(node, "this", "order", "limit", "offset")
            if any(node.args.get(key) for key in ("order", "limit", "offset")):
                raise self.outside(node, "ORDER BY or LIMIT after a SELECT in parentheses")
            node = node.this
        if isinstance(node, exp.Union):
            return self._union(node)
        if not isinstance(node, exp.Select):
            raise self.outside(node)
        return self._select(node)

    def _union(self, node: Any) -> Relation:
        self.allow(node, "this", "expression", "distinct", "order", "limit", "offset")
        sides = self.select(node.this), self.select(node.expression)
        names = [[one.name for one in side.columns] for side in sides]
        if names[0] != names[1]:
            raise self.error(
                node,
                f"UNION takes the same columns in the same order, found {names[0]} and {names[1]}; name them with AS",
            )
        columns = [
            Output(a.name, a.physical, self.common([of_type(a.kind), of_type(b.kind)], node))
            for a, b in zip(*(side.columns for side in sides), strict=True)
        ]
        selects = []
        for side in sides:
            values = [Expression(Column("q", one.physical), one.kind) for one in side.columns]
            selects.append(
                side.derived(
                    As(self.converted(value, to.kind, node).node, one.physical)
                    for value, one, to in zip(values, side.columns, columns, strict=True)
                )
            )
        union = Join(selects, " UNION " if node.args.get("distinct") else " UNION ALL ")
        source = Source("", [(one.name, Expression(Name(one.physical), one.kind)) for one in columns])
        order, limit, offset = self._tail(node, Scope([source]))
        if order:
            order += [Name(one.physical) for one in columns]
        if not order and limit is None and offset is None:
            return Relation(union, columns)
        whole = Select([Word("*")], Derived(union, "q"), order=order, limit=limit, offset=offset)
        return Relation(whole, columns, float("inf") if limit is None else limit)

    def _select(self, node: Any) -> Relation:
        self.allow(
            node,
            *("expressions", "from_", "joins", "where", "group", "having"),
            *("order", "limit", "offset", "distinct", "windows"),
        )
        if not node.expressions:
            raise self.error(node, "SELECT: expected *, a column or an expression, found none")
        scope = Scope()
        source = self._from(node, scope)
        scope.windows = {window.name: window for window in node.args.get("windows") or []}
        where = node.args.get("where")
        condition = None
        if where is not None:
            condition = self.condition(self._plain(where.this, scope, "WHERE"), where.this)
        outputs = self._outputs(node, scope)
        group, having = self._group(node, scope)
        columns = distinct_names(outputs)
        written = projections(node, outputs)
        scope.outputs = {
            name: value for item, (name, value) in zip(written, outputs, strict=True) if isinstance(item, exp.Alias)
        }
        call = hybrid.call_of(node)
        if call is not None:
            limit, offset = (self._count(node.args.get(key), key.upper()) for key in ("limit", "offset"))
            joined, key = hybrid.fused(self, call, scope, condition, limit, self._probe)
            source, order, condition = Phrase((source or Word(""), joined)), [key], None
        else:
            order, limit, offset = self._tail(node, scope)
        values = [value.node for _, value in outputs]
        distinct = node.args.get("distinct")
        if order:
            order += breaking(order, self._keys(scope, outputs, group, distinct is not None))
        filters = [condition, *self._views(node, scope)]
        if condition is not None and not compares(condition) and any(map(compares, (*values, *group, *order))):
            # Rows that pass a filter come a few at a time. A condition that DuckDB cannot push into the scan makes it
            # collect them, so that a distance is called for thousands of rows at once.
            filters.append(Operation(">=", [Call("random"), Word("0")]))
        if distinct is not None:
            self.allow(distinct)
        selected = Select(
            [As(value, one.physical) for value, one in zip(values, columns, strict=True)],
            source if self._pairs is None or self._pairs[0] is not node else self._cut(source, scope),
            both(*filters),
            group,
            having,
            order=order,
            limit=limit,
            offset=offset,
            distinct=distinct is not None,
        )
        return Relation(selected, columns, float("inf") if limit is None else limit, unique_outputs(scope, outputs))

    def _keys(
        self, scope: Scope, outputs: list[tuple[str, Expression]], group: list[Node], distinct: bool
    ) -> list[Node]:
        """Nodes that no two rows of a SELECT have in common."""
        if distinct:
            return [value.node for _, value in outputs if not value.known]
        if group or any(aggregates(value.node) for _, value in outputs):
            return group
        return scope.keys

    def _cut(self, source: Node | None, scope: Scope) -> Node:
        """A FROM joined with `PAIRS`, so that other pairs of rows are left out."""
        assert self._pairs is not None and source is not None
        at = {one.alias: f"t{number}" for number, one in enumerate(scope.sources)}
        on = [
            Operation("=", [Column("p", column), Column(at[alias], "rowid")])
            for alias, column in self._pairs[1].items()
        ]
        return Phrase((source, " JOIN ", Name(PAIRS), " AS p ON ", Operation("AND", on)))

    def _plain(self, node: Any, scope: Scope, clause: str) -> Expression:
        """An expression of a clause that takes no aggregate and no window."""
        scope.clause = clause
        value = self.expression(node, scope)
        scope.clause = ""
        return value

    def _outputs(self, node: Any, scope: Scope) -> list[tuple[str, Expression]]:
        outputs: list[tuple[str, Expression]] = []
        for number, item in enumerate(node.expressions):
            if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                outputs += self._star(item, scope)
            elif isinstance(item, exp.Alias):
                outputs.append((item.alias, self.expression(item.this, scope)))
            else:
                name = item.name if isinstance(item, exp.Column) else f"column{number}"
                outputs.append((name, self.expression(item, scope)))
        return outputs

    def _star(self, item: Any, scope: Scope) -> list[tuple[str, Expression]]:
        if isinstance(item, exp.Star):
            self.allow(item)
        sources = scope.sources
        if isinstance(item, exp.Column):
            sources = [one for one in sources if one.alias == item.table]
            if not sources:
                raise self.error(item, no_such("table or alias", item.table, [one.alias for one in scope.sources]))
        if not sources:
            raise self.error(item, "* needs a FROM; write SELECT * FROM table")
        found = [column for one in sources for column in one.columns]
        names = [name for name, _ in found]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise self.error(item, f"* has column {twice[0]} of several tables; name the columns")
        return found

    def _group(self, node: Any, scope: Scope) -> tuple[list[Node], Node | None]:
        """GROUP BY and HAVING."""
        group = node.args.get("group")
        keys = []
        if group is not None:
            self.allow(group, "expressions")
            for one in group.expressions:
                value = self._plain(one, scope, "GROUP BY")
                if value.known:
                    raise self.outside(one, "GROUP BY of a literal")
                keys.append(value.node)
        having = node.args.get("having")
        if having is None:
            return keys, None
        return keys, self.condition(self.expression(having.this, scope), having.this)

    def _tail(self, node: Any, scope: Scope) -> tuple[list[Node], int | None, int | None]:
        """ORDER BY, LIMIT and OFFSET."""
        order = node.args.get("order")
        keys = [] if order is None else self.order(order, scope)
        limit, offset = (self._count(node.args.get(key), key.upper()) for key in ("limit", "offset"))
        return keys, limit, offset

    def _count(self, part: Any, word: str) -> int | None:
        """LIMIT's or OFFSET's number; DuckDB keeps the first few of a sort only where it is no expression."""
        if part is None:
            return None
        self.allow(part, "expression")
        value = self.expression(part.expression, Scope())
        if not value.kind.whole:
            raise self.error(part.expression, f"{word} takes a whole number, found {value.kind}")
        number = value.value if value.known else self.evaluate(value.node, self.at(part.expression))
        if number is None or number < 0:
            raise self.error(part.expression, f"{word} takes a whole number from 0, found {number}")
        return int(number)

    # FROM.

    def _from(self, node: Any, scope: Scope) -> Node | None:
        first = node.args.get("from_")
        if first is None:
            return None
        source = self._table(first.this, scope)
        for join in [*(first.this.args.get("joins") or []), *(node.args.get("joins") or [])]:
            if join.args.get("kind") == "NEAREST":
                right = self._table(join.this, scope)
                pairs = nearest.joined(self, node, join, scope)
                both_ids = (" AS p ON p.l = t0.rowid JOIN ", right, " ON p.r = t1.rowid")
                source = Phrase((source, " JOIN ", pairs, *both_ids))
            else:
                source = self._join(source, join, scope)
        return source

    def _join(self, left: Node, join: Any, scope: Scope) -> Node:
        self.allow(join, "this", "on", "using", "side", "kind")
        side, kind = (str(join.args.get(key) or "").upper() for key in ("side", "kind"))
        words = [word for word in (side, kind) if word and word != "OUTER"]
        name = " ".join(words) or ("CROSS" if join.meta.get("comma") else "INNER")
        if name not in JOINS:
            raise self.error(join, f"{name} JOIN is outside the subset; there is {', '.join(JOINS)}")
        before = Scope(list(scope.sources))
        right = self._table(join.this, scope)
        on, using = join.args.get("on"), join.args.get("using")
        if name == "CROSS":
            if on is not None or using:
                raise self.error(join, "CROSS JOIN takes no ON; write INNER JOIN")
            return Phrase((left, " CROSS JOIN ", right))
        if on is not None:
            condition: Node | None = self.condition(self._plain(on, scope, "ON"), on)
        elif using:
            condition = self._using(join, using, before, Scope([scope.sources[-1]]))
        else:
            raise self.error(join, f"{name} JOIN needs ON or USING; write ON a.id = b.id")
        if name == "LEFT SEMI":
            scope.sources.pop()
            name = "SEMI"
        return Phrase((left, f" {name} JOIN ", right, " ON ", condition or Word("true")))

    def _using(self, join: Any, using: list[Any], left: Scope, right: Scope) -> Node | None:
        """The condition that columns of one name are equal."""
        each = []
        for name in using:
            column = exp.Column(this=name)
            column.meta.update(start=start_of(join.this))
            each.append(compared(self, self.column(column, left), "=", self.column(column, right), join).node)
        return both(*each)

    def _table(self, node: Any, scope: Scope) -> Node:
        """One table, named SELECT or SELECT in parentheses; the scope gets its columns."""
        alias = node.args.get("alias")
        given = alias.name if alias is not None else ""
        if alias is not None:
            self.allow(alias, "this")
        if isinstance(node, exp.Subquery):
            self.allow(node, "this", "alias", "joins")
            return self._as_source(self.select(node.this), given, scope, node)
        if not isinstance(node, exp.Table):
            raise self.outside(node)
        self.allow(node, "this", "alias", "joins")
        if isinstance(node.this, exp.Anonymous) and str(node.this.this).upper() == "AS_TABLE":
            return self._list_table(node.this, given, scope)
        if not isinstance(node.this, exp.Identifier):
            called = node.this.this if isinstance(node.this, exp.Anonymous) else ""
            what = f"{called} as a table" if called else CONSTRUCTS.get(type(node.this).__name__, "")
            raise self.outside(node, what)
        name = node.name
        if name.startswith("$"):
            query = self.lookup(name[1:], node)
            if not isinstance(query, Relation):
                raise self.error(node, f"FROM takes a table or a SELECT, found {name}, which is neither")
            return self._as_source(query, given or name, scope, node)
        table = self.table(Written(name, start_of(node.this)))
        at = self._alias(given or name, scope, node)
        scope.sources.append(of_table(given or name, table, at))
        scope.sources[-1].view = node.meta.get("view")
        return Phrase((Name(table.physical), f" AS {at}"))

    def _list_table(self, call: Any, alias: str, scope: Scope) -> Node:
        """`AS_TABLE(list)`."""
        if len(call.expressions) != 1:
            raise self.error(call, f"AS_TABLE takes one list of structs, found {len(call.expressions)} arguments")
        at = self._alias(alias, scope, call)
        source, columns = as_table(self, call, self.expression(call.expressions[0], Scope()), alias, at)
        scope.sources.append(columns)
        return source

    def _as_source(self, query: Relation, alias: str, scope: Scope, node: Any) -> Node:
        at = self._alias(alias, scope, node)
        columns = [(one.name, Expression(Column(at, one.physical), one.kind)) for one in query.columns]
        unique = [value.node for name, value in columns if name in query.unique]
        key = unique or [value.node for _, value in columns]
        scope.sources.append(Source(alias, columns, None, key))
        return Derived(query.node, at)

    def _alias(self, name: str, scope: Scope, node: Any) -> str:
        if name and any(one.alias == name for one in scope.sources):
            raise self.error(node, f"{name} stands twice in FROM; give each an alias: FROM {name} AS a")
        return f"t{len(scope.sources)}"

    def _views(self, node: Any, scope: Scope) -> list[Node]:
        """For each VIEW of an index, the condition that a row is in a cluster that the search visits."""
        if node.args.get("from_") is None:
            return []
        tables = [node.args["from_"].this, *(join.this for join in node.args.get("joins") or [])]
        views = [one.meta["view"] for one in tables if "view" in one.meta]
        return [visited(self, view, node, scope, self._probe) for view in views if view != "PRIMARY KEY"]
