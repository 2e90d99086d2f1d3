"""Statements of YQL made statements of DuckDB: SELECT and its clauses.

Each expression is lowered with its type, because the two languages differ where types do: a string is bytes in one and
text in the other, whole numbers divide differently, NULL sorts first, NaN compares as unequal. `conversion` holds what
is said of types and values, `expressions` the rules of what stands within a clause.
"""

from collections.abc import Callable
from typing import Any

from vicinal.sql.catalog import Table, quoted
from vicinal.sql.compile.conversion import CONSTRUCTS, Expression, Select
from vicinal.sql.compile.expressions import Expressions, Scope, Source
from vicinal.sql.parse.query_grammar import exp, start_of
from vicinal.sql.parse.statements import Name


class Lowering(Expressions):
    """One statement's lowering: collects the bound values and the vectors to compare with.

    text     : the whole text
    tables   : the catalog
    names    : what `$name` stands for: an Expression, or a Deferred
    evaluate : gives the value of a SELECT of one value that needs no row
    probe    : gives the clusters that a search visits, of a table's index for a target
    start    : where the statement begins
    """

    def __init__(
        self,
        text: str,
        tables: dict[str, Table],
        names: dict[str, Any],
        evaluate: Callable[[Any, Select, int], Any],
        probe: Callable[[Table, str, bytes | None], list[int]],
        start: int = 0,
    ) -> None:
        super().__init__(text, names, evaluate, start)
        self._tables, self._probe = tables, probe
        self.pairs: tuple[int, dict[str, str]] | None = None  # a SELECT that is cut to the pairs found before

    def fresh(self) -> "Lowering":
        """Another statement's lowering in the same place."""
        return Lowering(self.source, self._tables, self.names, self._evaluate, self._probe, self.start)

    def select(self, node: Any) -> Select:
        """A SELECT, lowered; it sees no names of a query around it."""
        while isinstance(node, exp.Subquery) and not node.args.get("alias"):
            self._allow(node, "this", "order", "limit", "offset")
            if any(node.args.get(key) for key in ("order", "limit", "offset")):
                raise self._outside(node, "ORDER BY or LIMIT after a SELECT in parentheses")
            node = node.this
        if isinstance(node, exp.Union):
            return self._union(node)
        if not isinstance(node, exp.Select):
            raise self._outside(node)
        return self._select(node)

    def _union(self, node: Any) -> Select:
        self._allow(node, "this", "expression", "distinct", "order", "limit", "offset")
        a, b = self.select(node.this), self.select(node.expression)
        names = [[name for name, _, _ in one.columns] for one in (a, b)]
        if names[0] != names[1]:
            raise self.error(node, f"UNION takes the same columns in the same order, found {names[0]} and {names[1]}")
        kinds = [
            self.common([Expression("", one[2]), Expression("", other[2])], node)
            for one, other in zip(a.columns, b.columns, strict=True)
        ]
        texts = []
        for one in (a, b):
            parts = [
                f"{self.sql(self.converted(Expression('q.' + quoted(physical), kind), to, node))} AS {quoted(physical)}"
                for (_, physical, kind), to in zip(one.columns, kinds, strict=True)
            ]
            texts.append(f"SELECT {', '.join(parts)} FROM ({one.text}) AS q")
        word = " UNION " if node.args.get("distinct") else " UNION ALL "
        columns = [(name, physical, kind) for (name, physical, _), kind in zip(a.columns, kinds, strict=True)]
        text = word.join(texts)
        scope = Scope([Source("", [(name, quoted(at), kind) for name, at, kind in columns])])
        tail, most = self._tail(node, scope)
        return Select(f"SELECT * FROM ({text}) AS q{tail}" if tail else text, columns, most)

    def _select(self, node: Any) -> Select:
        self._allow(
            node,
            *("expressions", "from_", "joins", "where", "group", "having"),
            *("order", "limit", "offset", "distinct", "windows"),
        )
        if not node.expressions:
            raise self.error(node, "SELECT names no columns")
        scope, source = Scope(), ""
        if node.args.get("from_") is not None:
            source = self._from(node, scope)
        for window in node.args.get("windows") or []:
            scope.windows[window.name] = window
        where = ""
        before = len(self.targets)
        if node.args.get("where") is not None:
            where = self.condition(self._plain(node.args["where"].this, scope, "WHERE"), node.args["where"].this)
        filtered, before = where and len(self.targets) == before, len(self.targets)
        outputs = self._outputs(node, scope)
        group = self._group(node, scope)
        taken: set[str] = set()
        columns, texts = [], []
        for name, value in outputs:
            physical, number = name, 1
            while physical.lower() in taken:
                number += 1
                physical = f"{name}~{number}"
            taken.add(physical.lower())
            columns.append((name, physical, value.kind))
            texts.append(f"{self.sql(value)} AS {quoted(physical)}")
        for item, (name, value) in zip(_projections(node, outputs), outputs, strict=True):
            if isinstance(item, exp.Alias):
                scope.outputs[name] = value
        tail, most = self._tail(node, scope)
        probe = self._view(node, scope)
        if probe:
            where = f"({where}) AND {probe}" if where else probe
        if filtered and len(self.targets) > before:
            # Rows that pass a filter come a few at a time. A condition that DuckDB cannot push into the scan makes it
            # collect them, so that a distance is called for thousands of rows at once.
            where = f"({where}) AND random() >= 0"
        distinct = node.args.get("distinct")
        if distinct is not None:
            self._allow(distinct)
        text = f"SELECT {'DISTINCT ' if distinct is not None else ''}{', '.join(texts)}"
        if self.pairs and self.pairs[0] == id(node):
            at = {side: f"t{number}" for number, side in enumerate(one.alias for one in scope.sources)}
            on = [f"p.{column} = {at[alias]}.rowid" for alias, column in self.pairs[1].items()]
            source += f' JOIN "~pairs" AS p ON {" AND ".join(on)}'
        text += f" FROM {source}" if source else ""
        text += f" WHERE {where}" if where else ""
        return Select(text + group + tail, columns, most, _unique(scope, outputs))

    def _plain(self, node: Any, scope: Scope, clause: str) -> Expression:
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
            self._allow(item)
        sources = scope.sources
        if isinstance(item, exp.Column):
            sources = [one for one in sources if one.alias == item.table]
            if not sources:
                have = [one.alias for one in scope.sources]
                raise self.error(item, self._no_such("table or alias", item.table, have))
        if not sources:
            raise self.error(item, "* needs a FROM")
        found = [(name, Expression(text, kind)) for one in sources for name, text, kind in one.columns]
        names = [name for name, _ in found]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise self.error(item, f"* has column {twice[0]} of several tables; name the columns")
        return found

    def _group(self, node: Any, scope: Scope) -> str:
        text = ""
        group = node.args.get("group")
        if group is not None:
            self._allow(group, "expressions")
            values = [self._plain(one, scope, "GROUP BY") for one in group.expressions]
            for one, value in zip(group.expressions, values, strict=True):
                if value.known:
                    raise self.error(one, "GROUP BY of a literal is outside the subset")
            text = " GROUP BY " + ", ".join(map(self.sql, values))
        having = node.args.get("having")
        if having is not None:
            text += f" HAVING {self.condition(self.expression(having.this, scope), having.this)}"
        return text

    def _tail(self, node: Any, scope: Scope) -> tuple[str, float]:
        """ORDER BY, LIMIT and OFFSET, and how many rows there are at most."""
        text, most = "", float("inf")
        if node.args.get("order") is not None:
            text += " " + self._order(node.args["order"], scope)
        for key in ("limit", "offset"):
            part = node.args.get(key)
            if part is not None:
                self._allow(part, "expression")
                value = self.expression(part.expression, Scope())
                if not value.kind.whole:
                    raise self.error(part.expression, f"{key.upper()} takes a whole number, found {value.kind}")
                # A number, and no expression: DuckDB keeps the first few of a sort only where it knows how many.
                number = value.value
                if not value.known:
                    number = self._evaluate(self, Select(f"SELECT {value.text}", []), self._at(part.expression))
                if number is None or number < 0:
                    raise self.error(part.expression, f"{key.upper()} takes a whole number, found {number}")
                text += f" {key.upper()} {int(number)}"
                most = int(number) if key == "limit" else most
        return text, most

    # FROM.

    def _from(self, node: Any, scope: Scope) -> str:
        text = self._table(node.args["from_"].this, scope)
        joins = list(node.args["from_"].this.args.get("joins") or []) + list(node.args.get("joins") or [])
        for join in joins:
            text += self._join(join, scope)
        return text

    def _join(self, join: Any, scope: Scope) -> str:
        self._allow(join, "this", "on", "using", "side", "kind")
        side, kind = (str(join.args.get(key) or "").upper() for key in ("side", "kind"))
        on, using = join.args.get("on"), join.args.get("using")
        words = " ".join(word for word in (side, kind) if word) or ("CROSS" if join.meta.get("comma") else "INNER")
        words = words.replace(" OUTER", "")
        if words not in ("INNER", "LEFT", "RIGHT", "FULL", "CROSS", "LEFT SEMI"):
            raise self._outside(join, f"{words} JOIN")
        left = Scope(list(scope.sources))
        text = self._table(join.this, scope)
        right = scope.sources[-1]
        if words == "CROSS":
            if on is not None or using:
                raise self.error(join, "CROSS JOIN takes no ON")
            return f" CROSS JOIN {text}"
        if on is not None:
            condition = self.condition(self._plain(on, scope, "ON"), on)
        elif using:
            each = []
            for name in using:
                column = exp.Column(this=name)
                column.meta.update(start=start_of(join.this))
                a, b = (self._column(column, one) for one in (left, Scope([right])))
                each.append(self._compared(a, "=", b, join).text)
            condition = " AND ".join(each)
        else:
            raise self.error(join, f"{words} JOIN needs ON or USING")
        if words == "LEFT SEMI":
            scope.sources.pop()
            words = "SEMI"
        return f" {words} JOIN {text} ON {condition}"

    def _table(self, node: Any, scope: Scope) -> str:
        alias = node.args.get("alias")
        given = alias.name if alias is not None else ""
        if alias is not None:
            self._allow(alias, "this")
        if isinstance(node, exp.Subquery):
            self._allow(node, "this", "alias", "joins")
            query = self.select(node.this)
            return self._as_source(query, given, scope)
        if not isinstance(node, exp.Table):
            raise self._outside(node)
        self._allow(node, "this", "alias", "joins")
        if not isinstance(node.this, exp.Identifier):
            called = node.this.this if isinstance(node.this, exp.Anonymous) else ""
            raise self._outside(
                node, f"{called} as a table" if called else CONSTRUCTS.get(type(node.this).__name__, "")
            )
        name = node.name
        if name.startswith("$"):
            query = self.lookup(name[1:], node)
            if not isinstance(query, Select):
                raise self.error(node, f"{name} is no SELECT")
            return self._as_source(query, given or name, scope)
        table = self.table(Name(name, start_of(node.this)))
        at = self._alias(given or name, scope, node)
        columns = [(one.name, f"{at}.{quoted(one.physical)}", one.kind) for one in table.columns.values()]
        scope.sources.append(Source(given or name, columns, table))
        return f"{quoted(table.physical)} AS {at}"

    def _as_source(self, query: Select, alias: str, scope: Scope) -> str:
        at = self._alias(alias, scope, 0)
        columns = [(name, f"{at}.{quoted(physical)}", kind) for name, physical, kind in query.columns]
        scope.sources.append(Source(alias, columns))
        return f"({query.text}) AS {at}"

    def _alias(self, name: str, scope: Scope, node: Any) -> str:
        if name and any(one.alias == name for one in scope.sources):
            raise self.error(node, f"{name} stands twice in FROM; give each an alias")
        return f"t{len(scope.sources)}"

    def table(self, name: Name) -> Table:
        """A table of the catalog."""
        if name.text not in self._tables:
            raise self.error(name, self._no_such("table", name.text, list(self._tables)))
        return self._tables[name.text]

    # VIEW index.

    def _view(self, node: Any, scope: Scope) -> str:
        if node.args.get("from_") is None:
            return ""
        tables = [node.args["from_"].this, *(join.this for join in node.args.get("joins") or [])]
        views = [one.meta["view"] for one in tables if "view" in one.meta]
        texts = [self._visited(view, node, scope) for view in views if view != "PRIMARY KEY"]
        return " AND ".join(texts)

    def _visited(self, view: Name, node: Any, scope: Scope) -> str:
        source = scope.sources[0]
        known = source.table
        if known is None or len(scope.sources) != 1:
            raise self.error(view, "VIEW of an index takes one table, without joins")
        if view.text not in known.indexes:
            raise self.error(view, self._no_such("index", view.text, list(known.indexes)))
        index = known.indexes[view.text]
        order = node.args.get("order")
        first = order.expressions[0] if order is not None else None
        names = index.functions
        expected = (
            f"VIEW {index.name} takes ORDER BY Knn::{names[0]}({index.columns[-1]}, target)"
            f"{' DESC' if names[0].endswith('Similarity') else ''} and LIMIT"
        )
        if first is None or node.args.get("limit") is None:
            raise self.error(view, expected)
        call = first.this
        if isinstance(call, exp.Column) and not call.table:
            aliased = [one.this for one in node.expressions if isinstance(one, exp.Alias) and one.alias == call.name]
            call = aliased[0] if aliased else call
        name = call.this.removeprefix("Knn::") if isinstance(call, exp.Anonymous) and isinstance(call.this, str) else ""
        if name not in names or bool(first.args.get("desc")) != name.endswith("Similarity"):
            raise self.error(first, expected)
        arguments = [self.expression(one, scope) for one in call.expressions]
        column = next(text for known_name, text, _ in source.columns if known_name == index.columns[-1])
        targets = [self.bytes(one, call) for one in arguments if one.text != column]
        if len(targets) != 1 or not targets[0].known:
            raise self.error(first, f"{expected}, the target being the same for all rows")
        visited = self._probe(known, index.name, targets[0].value)
        at = column.partition(".")[0]
        clusters = ", ".join(map(str, visited)) or "NULL"
        # A row without a cluster is always read.
        return f"({at}.{quoted(index.physical)} IN ({clusters}) OR {at}.{quoted(index.physical)} IS NULL)"


def _unique(scope: Scope, outputs: list[tuple[str, Expression]]) -> frozenset[str]:
    """The outputs that are the primary key of the one table that is read."""
    table = scope.sources[0].table if len(scope.sources) == 1 else None
    if table is None:
        return frozenset()
    texts = {name: text for name, text, _ in scope.sources[0].columns}
    names = {value.text: name for name, value in outputs if not value.known}
    found = [names.get(texts[key]) for key in table.key]
    return frozenset() if None in found else frozenset(name for name in found if name)


def _projections(node: Any, outputs: list[Any]) -> list[Any]:
    """The written items beside the outputs; a star stands for as many as it made."""
    stars = sum(
        isinstance(one, exp.Star) or isinstance(getattr(one, "this", None), exp.Star) for one in node.expressions
    )
    if not stars:
        return list(node.expressions)
    named_items = {one.alias: one for one in node.expressions if isinstance(one, exp.Alias)}
    return [named_items.get(name) for name, _ in outputs]
