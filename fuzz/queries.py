"""YQL drawn from a grammar, and predicates in three parts: the rows where p holds, where it does not, and where it is
unknown are together all rows (Rigger & Su 2020, Ternary Logic Partitioning). A statement that is not accepted must be
refused by an error of vicinal with line and column, never by a fault."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import VicinalError
from vicinal.sql import connect

COLUMNS = {"id": "Uint64", "n": "Int64", "x": "Double", "s": "Utf8", "b": "Bool", "v": "String"}
NUMBERS = ("0", "1", "-1", "2", "7", "0.5", "1e3", "NULL")
TEXTS = ('"a"', '"b"', '""', '"%"', '"a_"', "NULL")
VECTOR = "Knn::ToBinaryString([1.0f, 2.0f])"


class Grammar:
    """Expressions by type, at most so deep."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def pick(self, *choices: str) -> str:
        """One of these."""
        return choices[int(self._random.integers(len(choices)))]

    def number(self, depth: int) -> str:
        """A number or NULL."""
        if depth <= 0 or self._random.random() < 0.4:
            return self.pick("n", "x", "id", *NUMBERS)
        a, b = self.number(depth - 1), self.number(depth - 1)
        distance = self.pick("CosineDistance", "EuclideanDistance", "ManhattanDistance", "InnerProductSimilarity")
        return self.pick(
            f"({a} + {b})",
            f"({a} - {b})",
            f"({a} * {b})",
            f"COALESCE({a}, {b})",
            f"Knn::{distance}(v, {VECTOR})",
            f"IF({self.truth(depth - 1)}, {a}, {b})",
            f"CASE WHEN {self.truth(depth - 1)} THEN {a} ELSE {b} END",
        )

    def text(self, depth: int) -> str:
        """A text or NULL."""
        if depth <= 0 or self._random.random() < 0.6:
            return self.pick("s", *TEXTS)
        return self.pick(
            f"({self.text(depth - 1)} || {self.text(depth - 1)})", f"CAST({self.number(depth - 1)} AS Utf8)"
        )

    def truth(self, depth: int) -> str:
        """A predicate."""
        if depth <= 0:
            return self.pick("b", "n > 1", "x < 0.5", 's = "a"', "TRUE", "n IS NULL")
        a, b = self.number(depth - 1), self.number(depth - 1)
        p, q = self.truth(depth - 1), self.truth(depth - 1)
        operator = self.pick("=", "!=", "<", "<=", ">", ">=")
        return self.pick(
            f"({a} {operator} {b})",
            f"({self.text(depth - 1)} {operator} {self.text(depth - 1)})",
            f"({p} AND {q})",
            f"({p} OR {q})",
            f"(NOT {p})",
            f"({a} BETWEEN {b} AND {self.number(depth - 1)})",
            f"({a} IN ({b}, {self.number(0)}, 1))",
            f"({a} IS NULL)",
            f"({self.text(depth - 1)} IS NOT NULL)",
            f"({self.text(depth - 1)} LIKE {self.pick(*TEXTS[:-1])})",
        )


def filled(random: np.random.Generator) -> Any:
    """A database with one table of small values, among them nulls."""
    database = connect(":memory:", threads=1)
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    database.execute(f"CREATE TABLE T ({columns}, PRIMARY KEY (id))")
    rows = []
    for row in range(int(random.integers(1, 12))):
        some = [
            str(random.choice(["0", "1", "-1", "2", "7", "NULL"])),
            str(random.choice(["0.0", "0.5", "-0.5", "1000.0", "NULL"])),
            str(random.choice(['"a"', '"b"', '""', '"ab"', "NULL"])),
            str(random.choice(["TRUE", "FALSE", "NULL"])),
            str(random.choice([VECTOR, "Knn::ToBinaryString([0.0f, -1.5f])", "NULL"])),
        ]
        rows.append(f"({row}, {', '.join(some)})")
    database.execute(f"UPSERT INTO T (id, n, x, s, b, v) VALUES {', '.join(rows)}")
    return database


def case(random: np.random.Generator, place: Path) -> None:
    """One table, several predicates; half of the statements are damaged."""
    database, grammar = filled(random), Grammar(random)
    try:
        every = Counter(row[0] for row in database.execute("SELECT id FROM T"))
        for _ in range(8):
            predicate = grammar.truth(int(random.integers(1, 5)))
            try:
                parts = [
                    [row[0] for row in database.execute(f"SELECT id FROM T WHERE {one}")]
                    for one in (predicate, f"NOT ({predicate})", f"({predicate}) IS NULL")
                ]
                ordered = list(database.execute(f"SELECT id FROM T WHERE {predicate} ORDER BY {grammar.number(2)}, id"))
            except VicinalError:  # an overflow, or types that do not go together
                continue
            found = Counter(row for part in parts for row in part)
            assert found == every, f"{predicate}: {parts} of {sorted(every)}"
            assert sorted(row[0] for row in ordered) == sorted(parts[0]), predicate
        for _ in range(8):
            whole = f"SELECT id, {grammar.number(3)} AS m FROM T WHERE {grammar.truth(3)} ORDER BY m LIMIT 3"
            at, length = int(random.integers(len(whole))), int(random.integers(0, 6))
            put = grammar.pick("", "(", ")", ",", '"', "'", "$", "::", "SELECT", "\0", "9" * 40, "é", ";", "--", "/*")
            try:
                list(database.execute(whole[:at] + put + whole[at + length :]) or ())
            except VicinalError:
                continue
    finally:
        database.close()
