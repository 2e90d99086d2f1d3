"""Statements through `Remote` and `vicinal sql --url`, on a database that `vicinal.sql.serve` serves."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest

import vicinal.sql
from vicinal.errors import DataError, UsageError
from vicinal.sql.faults import SqlError
from vicinal.sql.io.printing import as_json
from vicinal.sql.vectors import binary
from vicinal.sql.ydb.remote import Remote
from workplace import Workplace


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with vicinal.sql.serve(":memory:", port=0) as server:
        with Remote(server.url) as remote:
            remote.execute("CREATE TABLE T (id Int64, user Utf8, e String, PRIMARY KEY (id))")
            remote.execute("CREATE TABLE U (id Int64, PRIMARY KEY (id))")
        yield server.url


@pytest.fixture
def remote(url: str) -> Iterator[Remote]:
    with Remote(url) as made:
        made.execute("DELETE FROM T; DELETE FROM U")
        yield made


def test_statements_are_sent_in_ydbs_form_and_vectors_as_bytes(remote: Remote) -> None:
    text = """// one
        UPSERT INTO T (id, e) VALUES (1, Knn::ToBinaryString([1.f])) // two
        ; -- three
        UPSERT INTO T (id, e, user) VALUES (2, $q, $u), (3, $i, "x"u), (4, $b, NULL);
        SELECT id, e, user, $f AS f FROM T WHERE id IN // four
        ($n, 2, 3, 4) ORDER BY id -- five"""
    given = {"$q": np.array([1, 2], np.float32), "u": "é", "n": 1, "b": b"\xff", "i": np.array([1], np.int8), "f": 0.5}
    rows = remote.execute(text, given)
    assert rows.columns == ["id", "e", "user", "f"]
    assert [str(kind) for kind in rows.kinds] == ["Int64", "String", "Utf8", "Double"]
    assert list(rows) == [
        (1, binary.to_binary([1.0]), None, 0.5),
        (2, binary.to_binary([1.0, 2.0]), "é", 0.5),
        (3, b"\x01\x03", "x", 0.5),
        (4, b"\xff", None, 0.5),
    ]


def test_names_and_pragmas_go_before_each_statement(remote: Remote) -> None:
    pragma = "PRAGMA ydb.KMeansTreeSearchTopSize = '3';"
    found = list(remote.run(f"{pragma} $k = 3; SELECT $k AS k; $k = 4; SELECT $k AS k; SELECT $k + 1 AS k"))
    assert [list(one) for one in found] == [[(3,)], [(4,)], [(5,)]]


def test_a_prompts_names_stay(remote: Remote) -> None:
    names: dict[str, Any] = {}
    assert list(remote.run("$k = 3;", {}, names)) == []
    assert [list(rows) for rows in remote.run("SELECT $k;", {}, names)] == [[(3,)]]


def test_a_transaction_is_one_text(remote: Remote) -> None:
    found = list(
        remote.run(
            """$k = 1l; BEGIN; UPSERT INTO U (id) VALUES ($k); $k = 2l; UPSERT INTO U (id) VALUES ($k);
            SELECT id FROM U ORDER BY id; COMMIT; BEGIN; DELETE FROM U; ROLLBACK; SELECT COUNT(*) FROM U"""
        )
    )
    assert [list(rows) for rows in found] == [[(1,), (2,)], [(2,)]]
    with pytest.raises(SqlError, match="1:10: COMMIT: no transaction is open"):
        remote.execute("SELECT 1;COMMIT")
    with pytest.raises(SqlError, match="a transaction is open already"):
        remote.execute("BEGIN; BEGIN")


def test_declared_values_are_of_their_type(remote: Remote) -> None:
    declared: dict[str, tuple[str, Any, Any]] = {
        "n": ("Uint64", 5, 5),
        "s": ("String", "é", "é".encode()),
        "d": ("Date", "1970-01-11", date(1970, 1, 11)),
        "t": ("Timestamp", "1970-01-01T00:00:01Z", datetime(1970, 1, 1, 0, 0, 1)),
        "f": ("Float", 1, 1.0),
        "o": ("Int32?", 7, 7),
        "j": ("Json", "[1]", "[1]"),
        "l": ("List<Float>", [1, 2], [1.0, 2.0]),
        "z": ("Utf8?", None, None),
    }
    text = "".join(f"DECLARE ${name} AS {kind};" for name, (kind, *_) in declared.items())
    given = {name: value for name, (_, value, _) in declared.items()}
    shown = ", ".join(f"${name} AS {name}" for name in declared)
    rows = remote.execute(f"{text}SELECT {shown}, $u AS u", {**given, "u": 3})
    assert rows[0] == (*(expected for _, _, expected in declared.values()), 3)
    kinds = [kind.removesuffix("?") for kind, *_ in declared.values()]
    assert [str(kind) for kind in rows.kinds] == [*kinds, "Int64"]
    with pytest.raises(SqlError, match=r"2:1: \$n is declared, but no value is given"):
        remote.execute("SELECT 1;\nDECLARE $n AS Uint64")
    with pytest.raises(SqlError, match="-1 does not fit Uint64"):
        remote.execute("DECLARE $n AS Uint64", {"n": -1})
    with pytest.raises(UsageError, match="a NULL needs its type"):
        remote.execute("SELECT $n", {"n": None})


def test_structs_and_the_other_types_go_both_ways(remote: Remote) -> None:
    text = """DECLARE $rows AS List<Struct<id: Int64, user: Utf8?>>; UPSERT INTO T SELECT id, user FROM AS_TABLE($rows);
        SELECT id, user, CAST("1.5" AS Decimal(22, 9)) AS d, CAST("550e8400-e29b-41d4-a716-446655440000" AS Uuid) AS u,
        AsStruct(1 AS a) AS s FROM T ORDER BY id"""
    rows = remote.execute(text, {"rows": [{"id": 1, "user": "a"}, {"id": 2, "user": None}]})
    same = (Decimal("1.5"), UUID("550e8400-e29b-41d4-a716-446655440000"), {"a": 1})
    assert list(rows) == [(1, "a", *same), (2, None, *same)]
    assert [str(kind) for kind in rows.kinds] == ["Int64", "Utf8", "Decimal(22,9)", "Uuid", "Struct<a: Int32>"]
    assert next(iter(as_json(rows))) == (
        '{"id": 1, "user": "a", "d": "1.5", "u": "550e8400-e29b-41d4-a716-446655440000", "s": {"a": 1}}'
    )


def test_the_command_prints_the_servers_rows(url: str, work: Workplace) -> None:
    answer = work("sql", "--url", url, "--format", "json", "SELECT 2 AS id, NULL AS d, '\\x00\\x01' AS e")
    assert answer.code == 0, answer.err
    assert answer.records == [{"id": 2, "d": None, "e": {"base64": "AAE="}}]


def test_what_the_server_refuses_is_said(remote: Remote) -> None:
    with pytest.raises(DataError, match="unknown column wrong"):
        remote.execute("SELECT wrong FROM T")
    with pytest.raises(UsageError, match="expected numbers of one dimension"):
        remote.execute("SELECT $q", {"q": [[1.0]]})


def test_nobody_there_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be reached: no answer within 2 seconds"):
        Remote("grpc://localhost:1/local", timeout=2)
