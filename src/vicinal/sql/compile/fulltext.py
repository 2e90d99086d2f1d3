"""FulltextMatch and FulltextScore, over the words that a full-text index keeps in a hidden column."""

import re
from typing import Any

from vicinal.sql import words
from vicinal.sql.catalog import FULLTEXT, Index
from vicinal.sql.catalog import Column as TableColumn
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import (
    Call,
    Column,
    Name,
    Node,
    Operation,
    Parameter,
    Phrase,
    Select,
    Word,
)
from vicinal.sql.compile.values import Expression, Scope, Source
from vicinal.sql.parse.dialect import exp
from vicinal.sql.types import BOOL, DOUBLE

FUNCTIONS = ("fulltextmatch", "fulltextscore")
_NAMED = ("Mode", "DefaultOperator", "MinimumShouldMatch", "K1", "B")
K1, B = 1.2, 0.75


class Search:
    """One call: its text column, the index and the query's words.

    index : the index; None takes the one of the VIEW
    """

    def __init__(self, compiler: Conversion, node: Any, scope: Scope, index: Index | None = None) -> None:
        self._compiler, self._node = compiler, node
        positional = [one for one in node.expressions if not isinstance(one, exp.Alias)]
        named = {one.alias: one.this for one in node.expressions if isinstance(one, exp.Alias)}
        strange = next((name for name in named if name.lower() not in {one.lower() for one in _NAMED}), None)
        if len(positional) != 2 or strange:
            found = f"{strange} AS an argument" if strange else f"{len(positional)} arguments"
            expected = f"a column, a query and {', '.join(f'... AS {one}' for one in _NAMED)}"
            raise compiler.error(node, f"{node.this} takes {expected}; found {found}")
        self._named = {name.lower(): value for name, value in named.items()}
        self.source, self.column = _column(compiler, positional[0], scope)
        self.index = index or self._view()
        query = compiler.bytes(compiler.expression(positional[1], Scope()), positional[1])
        self._query = (query.value or b"").decode("utf-8", "replace")
        self.words = Column(_alias(scope, self.source), self.index.physical)
        self.terms = list(dict.fromkeys(words.tokens(self._query, self.index.settings)))

    def _view(self) -> Index:
        assert self.source.table is not None
        view = self.source.view
        have = self.source.table.indexes
        index = have.get(view.text) if view is not None else None
        if index is None or index.kind not in FULLTEXT or index.columns != (self.column.name,):
            fitting = [one.name for one in have.values() if one.kind in FULLTEXT and one.columns == (self.column.name,)]
            named = f"VIEW {fitting[0]}" if fitting else f"ADD INDEX ... USING {FULLTEXT[1]} ON ({self.column.name})"
            raise self._compiler.error(self._node, f"{self._node.this} needs a full-text index: write {named}")
        return index

    def _option(self, name: str, default: str) -> str:
        node = self._named.get(name.lower())
        if node is None:
            return default
        value = self._compiler.expression(node, Scope())
        if not value.known or not isinstance(value.value, bytes):
            raise self._compiler.error(node, f"{name}: expected a string literal, found {value.kind}")
        return value.value.decode("utf-8", "replace").lower()

    def _number(self, name: str, default: float) -> float:
        node = self._named.get(name.lower())
        if node is None:
            return default
        value = self._compiler.expression(node, Scope())
        if not value.known or not value.kind.numeric:
            raise self._compiler.error(node, f"{name}: expected a number, found {value.kind}")
        return float(value.value)

    def matches(self) -> Node:
        """The condition that a row matches the query."""
        mode = self._option("Mode", "keywords")
        if mode == "keywords":
            return self._keywords()
        if mode == "query":
            return self._extended()
        if mode != "wildcard":
            raise self._compiler.error(self._node, f"Mode: expected Keywords, Query or Wildcard, found {mode}")
        settings = self.index.settings
        if not (settings.get("use_filter_ngram") or settings.get("use_filter_edge_ngram")):
            raise self._compiler.error(self._node, "Mode Wildcard needs an index with use_filter_ngram=true")
        text: Node = Column(self.words.source, self.column.physical)
        text = text if self.column.kind.name == "Utf8" else Call("decode", [text])
        word = "ILIKE" if settings.get("use_filter_lowercase") else "LIKE"
        return Operation(word, [text, Parameter(self._query, "VARCHAR")])

    def _keywords(self) -> Node:
        operator = self._option("DefaultOperator", "and")
        if operator == "and" and "minimumshouldmatch" not in self._named:
            return self._all(self.terms)
        if operator != "or":
            message = f"DefaultOperator: expected And, or Or where MinimumShouldMatch is given, found {operator}"
            raise self._compiler.error(self._node, message)
        least = self._least()
        return Operation(
            ">=", [Call("len", [Call("list_intersect", [self.words, _list(self.terms)])]), Word(str(least))]
        )

    def _least(self) -> int:
        text = self._option("MinimumShouldMatch", "1")
        found = re.fullmatch(r"(\d+)(%?)", text)
        if found is None:
            message = f'MinimumShouldMatch: expected a number or a percentage, "3" or "50%", found {text!r}'
            raise self._compiler.error(self._node, message)
        number = int(found[1])
        return max(1, len(self.terms) * number // 100 if found[2] else number)

    def _extended(self) -> Node:
        """Mode Query: +required, -excluded, "a phrase"; of the other words at least one where none is required."""
        parts = re.findall(r'([+-]?)(?:"([^"]*)"|(\S+))', self._query)
        needed: list[Node] = []
        optional: list[str] = []
        for sign, phrase, word in parts:
            terms = words.tokens(phrase or word, self.index.settings)
            if not terms:
                continue
            one = self._phrase(terms) if phrase else self._all(terms)
            if sign == "-":
                needed.append(Phrase(("(NOT ", one, ")")))
            elif sign == "+" or phrase:
                needed.append(one)
            else:
                optional += terms
        required = any(sign != "-" for sign, phrase, _ in parts if sign or phrase)
        if optional and not required:
            needed.append(Call("list_has_any", [self.words, _list(optional)]))
        return Operation("AND", needed) if needed else Word("false")

    def _phrase(self, terms: list[str]) -> Node:
        """The condition that words stand one after another."""
        text = Phrase(("(chr(31) || array_to_string(", self.words, ", chr(31)) || chr(31))"))
        return Call("contains", [text, Parameter("\x1f" + "\x1f".join(terms) + "\x1f", "VARCHAR")])

    def _all(self, terms: list[str]) -> Node:
        return Call("list_has_all", [self.words, _list(terms)]) if terms else Word("false")

    def score(self) -> Node:
        """BM25 of a row, 0 where it does not match."""
        if self.index.kind != "fulltext_relevance":
            raise self._compiler.error(self._node, f"FulltextScore needs an index of type {FULLTEXT[1]}")
        if not self.terms:
            return Word("0e0")
        table = self.source.table
        assert table is not None
        mine = Column("t0", self.index.physical)
        having = [Call("count_if", [Call("list_contains", [mine, Parameter(one, "VARCHAR")])]) for one in self.terms]
        numbers: list[Node] = [Call("count", [mine]), Call("coalesce", [Call("avg", [Call("len", [mine])]), Word("0")])]
        each = [Phrase(("CAST(", one, " AS DOUBLE)")) for one in (*numbers, *having)]
        query = Select([Call("list_value", each)], Phrase((Name(table.physical), " AS t0")))
        rows, mean, *frequencies = self._compiler.evaluate(Phrase(("(", query, ")")), self._compiler.at(self._node))
        k1, b = self._number("K1", K1), self._number("B", B)
        length = Call("len", [self.words])
        norm = Phrase((f"{k1!r} * (1 - {b!r} + {b!r} * ", length, f" / {max(mean, 1e-9)!r})"))
        parts = []
        for term, having_it in zip(self.terms, frequencies, strict=True):
            count = Phrase(("len(list_filter(", self.words, ", lambda w: w = ", Parameter(term, "VARCHAR"), "))"))
            weight = f"ln(1 + ({rows!r} - {having_it!r} + 0.5) / ({having_it!r} + 0.5)) * {k1 + 1!r}"
            parts.append(Phrase((f"{weight} * ", count, " / (", count, " + ", norm, ")")))
        total = Operation("+", parts)
        return Phrase(("(CASE WHEN ", self._keywords(), " THEN ", total, " ELSE 0e0 END)"))


def compiled(compiler: Conversion, node: Any, scope: Scope) -> Expression:
    """A call of one of the two functions."""
    search = Search(compiler, node, scope)
    if str(node.this).lower() == "fulltextmatch":
        return Expression(search.matches(), BOOL)
    return Expression(search.score(), DOUBLE)


def _column(compiler: Conversion, node: Any, scope: Scope) -> tuple[Source, TableColumn]:
    """The text column of a call, and the source that it belongs to."""
    for source in scope.sources if isinstance(node, exp.Column) else ():
        wanted = not node.table or node.table == source.alias
        if source.table is not None and wanted and node.name in source.table.columns:
            return source, source.table.columns[node.name]
    raise compiler.error(node, "a full-text function takes a column of a table first, then the query")


def _alias(scope: Scope, source: Source) -> str:
    return f"t{scope.sources.index(source)}"


def _list(terms: list[str]) -> Node:
    return Parameter(list(terms), "VARCHAR[]")
