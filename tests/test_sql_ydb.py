"""Statements on YDB, against a loopback server made from the SDK's own service stubs.

The server answers as the protocol says and records what it was sent. It is no YDB: what a real one makes of the
statements is not tested here.
"""

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pytest
import ydb
from ydb._grpc.common import ydb_discovery_v1_pb2_grpc, ydb_query_v1_pb2_grpc
from ydb._grpc.common.protos import (
    ydb_discovery_pb2,
    ydb_operation_pb2,
    ydb_query_pb2,
    ydb_status_codes_pb2,
    ydb_value_pb2,
)

from vicinal.errors import DataError, UsageError
from vicinal.sql.faults import SqlError
from vicinal.sql.vectors import binary
from vicinal.sql.ydb.remote import Remote
from workplace import Workplace

SUCCESS = ydb_status_codes_pb2.StatusIds.SUCCESS


class Discovery(ydb_discovery_v1_pb2_grpc.DiscoveryServiceServicer):
    port = 0

    def ListEndpoints(self, request: Any, context: Any) -> Any:  # noqa: N802
        result = ydb_discovery_pb2.ListEndpointsResult()
        result.endpoints.add(address="localhost", port=self.port)
        operation = ydb_operation_pb2.Operation(ready=True, status=SUCCESS)
        operation.result.Pack(result)
        return ydb_discovery_pb2.ListEndpointsResponse(operation=operation)


class Queries(ydb_query_v1_pb2_grpc.QueryServiceServicer):
    def __init__(self) -> None:
        self.asked: list[Any] = []

    def CreateSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        return ydb_query_pb2.CreateSessionResponse(status=SUCCESS, session_id="one", node_id=1)

    def DeleteSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        return ydb_query_pb2.DeleteSessionResponse(status=SUCCESS)

    def AttachSession(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        ended = threading.Event()
        context.add_callback(ended.set)
        yield ydb_query_pb2.SessionState(status=SUCCESS)
        ended.wait()  # the session lives as long as this stream

    def ExecuteQuery(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self.asked.append(request)
        if "wrong" in request.query_content.text:
            part = ydb_query_pb2.ExecuteQueryResponsePart(status=ydb_status_codes_pb2.StatusIds.GENERIC_ERROR)
            part.issues.add(message="column wrong was not found")
            yield part
            return
        for ids in ((1, 2), (3,)):
            part = ydb_query_pb2.ExecuteQueryResponsePart(status=SUCCESS, result_set_index=0)
            for name, kind in (("id", "UINT64"), ("d", "FLOAT"), ("e", "STRING")):
                column = part.result_set.columns.add(name=name)
                column.type.optional_type.item.type_id = getattr(ydb_value_pb2.Type, kind)
            for one in ids:
                row = part.result_set.rows.add()
                row.items.add(uint64_value=one)
                if one == 2:
                    row.items.add(null_flag_value=0)
                else:
                    row.items.add(float_value=0.5)
                row.items.add(bytes_value=b"\x00\x01")
            yield part


@pytest.fixture
def server() -> Iterator[tuple[str, Queries]]:
    running = grpc.server(futures.ThreadPoolExecutor(8))
    queries, discovery = Queries(), Discovery()
    ydb_query_v1_pb2_grpc.add_QueryServiceServicer_to_server(queries, running)
    ydb_discovery_v1_pb2_grpc.add_DiscoveryServiceServicer_to_server(discovery, running)
    discovery.port = running.add_insecure_port("localhost:0")
    running.start()
    yield f"grpc://localhost:{discovery.port}/local", queries
    running.stop(None).wait()


def test_statements_are_sent_in_ydbs_form_and_vectors_as_bytes(server: tuple[str, Queries]) -> None:
    url, queries = server
    with Remote(url) as remote:
        rows = remote.execute(
            "// one\nUPSERT INTO T (e) VALUES (Knn::ToBinaryString([1.f])) // two\n; -- three\n"
            "SELECT id FROM T WHERE user IN // four\n ($u, $q, $n, $b, $i, $f) -- five",
            {"$q": np.array([1, 2], np.float32), "u": "x", "n": 5, "b": b"\xff", "i": np.array([1], np.int8), "f": 0.5},
        )
    assert rows.columns == ["id", "d", "e"]
    assert list(rows) == [(1, 0.5, b"\x00\x01"), (2, None, b"\x00\x01"), (3, 0.5, b"\x00\x01")]
    assert [str(kind) for kind in rows.kinds] == ["Uint64", "Float", "String"]
    one, asked = queries.asked  # each a transaction of its own
    assert one.query_content.text == (
        'UPSERT INTO T (e) VALUES (Untag(Knn::ToBinaryStringFloat([1.f]), "FloatVector"));'
    )
    assert not one.parameters
    assert asked.query_content.text == "SELECT id FROM T WHERE user IN -- four\n ($u, $q, $n, $b, $i, $f);"
    kinds = {name: value.type.type_id for name, value in asked.parameters.items()}
    primitive = ydb_value_pb2.Type
    assert kinds == {
        "$q": primitive.STRING,
        "$u": primitive.UTF8,
        "$n": primitive.INT64,
        "$b": primitive.STRING,
        "$i": primitive.STRING,
        "$f": primitive.DOUBLE,
    }
    assert asked.parameters["$q"].value.bytes_value == binary.to_binary([1.0, 2.0])
    assert asked.parameters["$i"].value.bytes_value == b"\x01\x03"


def texts(queries: Queries) -> list[str]:
    return [asked.query_content.text for asked in queries.asked]


def test_names_and_pragmas_go_before_each_statement(server: tuple[str, Queries]) -> None:
    url, queries = server
    with Remote(url) as remote:
        remote.execute(
            "PRAGMA a = '1'; $k = 3; CREATE TABLE T (id Int32, PRIMARY KEY (id)); SELECT $k; $k = 4; SELECT $k"
        )
        before = "PRAGMA a = '1';\n$k = 3;\n"
        assert texts(queries) == [
            f"{before}CREATE TABLE T (id Int32, PRIMARY KEY (id));",
            f"{before}SELECT $k;",
            f"{before}$k = 4;\nSELECT $k;",
        ]


def test_a_prompts_names_stay(server: tuple[str, Queries]) -> None:
    url, queries = server
    names: dict[str, Any] = {}
    with Remote(url) as remote:
        assert list(remote.run("$k = 3;", {}, names)) == []
        assert [len(rows) for rows in remote.run("SELECT $k;", {}, names)] == [3]
    assert texts(queries) == ["$k = 3;\nSELECT $k;"]


def test_a_transaction_is_one_text(server: tuple[str, Queries]) -> None:
    url, queries = server
    with Remote(url) as remote:
        found = list(
            remote.run(
                """$k = 1; BEGIN; UPSERT INTO T (id) VALUES ($k); $k = 2; UPSERT INTO T (id) VALUES ($k);
                SELECT id FROM T; COMMIT; BEGIN; DELETE FROM T; ROLLBACK; SELECT 1"""
            )
        )
        assert [len(rows) for rows in found] == [3, 3]
        assert [text.split("\n") for text in texts(queries)] == [
            [
                *("$k = 1;", "UPSERT INTO T (id) VALUES ($k);", "$k = 2;", "UPSERT INTO T (id) VALUES ($k);"),
                "SELECT id FROM T;",
            ],
            ["$k = 1;", "$k = 2;", "SELECT 1;"],
        ]
        with pytest.raises(SqlError, match="1:10: COMMIT: no transaction is open"):
            remote.execute("SELECT 1;COMMIT")
        with pytest.raises(SqlError, match="a transaction is open already"):
            remote.execute("BEGIN; BEGIN")


def test_declared_values_are_of_their_type(server: tuple[str, Queries]) -> None:
    url, queries = server
    declared = {
        "n": ("Uint64", 5, "uint64_value", 5),
        "s": ("String", "é", "bytes_value", "é".encode()),
        "d": ("Date", "1970-01-11", "uint32_value", 10),
        "t": ("Timestamp", "1970-01-01T00:00:01Z", "uint64_value", 1_000_000),
        "f": ("Float", 1, "float_value", 1.0),
        "o": ("Int32?", 7, "int32_value", 7),
        "j": ("Json", "[1]", "text_value", "[1]"),
    }
    text = "".join(f"DECLARE ${name} AS {kind};" for name, (kind, *_) in declared.items())
    given = {name: value for name, (_, value, *_) in declared.items()}
    with Remote(url) as remote:
        remote.execute(
            f"{text}DECLARE $l AS List<Float>;DECLARE $z AS Utf8?;SELECT Knn::ToBinaryStringFloat($l), $u",
            {**given, "l": [1, 2], "z": None, "u": 3},
        )
        (asked,) = queries.asked
        for name, (kind, _, field, expected) in declared.items():
            value = asked.parameters[f"${name}"]
            of = value.type.optional_type.item if kind.endswith("?") else value.type
            assert of.type_id == getattr(ydb_value_pb2.Type, kind.removesuffix("?").upper())
            assert getattr(value.value, field) == expected
        assert asked.parameters["$l"].type.list_type.item.type_id == ydb_value_pb2.Type.FLOAT
        assert [item.float_value for item in asked.parameters["$l"].value.items] == [1.0, 2.0]
        assert asked.parameters["$z"].value.WhichOneof("value") == "null_flag_value"
        assert asked.parameters["$u"].type.type_id == ydb_value_pb2.Type.INT64
        with pytest.raises(SqlError, match=r"2:1: \$n is declared, but no value is given"):
            remote.execute("SELECT 1;\nDECLARE $n AS Uint64")
        with pytest.raises(SqlError, match="-1 does not fit Uint64"):
            remote.execute("DECLARE $n AS Uint64", {"n": -1})
        with pytest.raises(UsageError, match="a NULL needs its type"):
            remote.execute("SELECT $n", {"n": None})


def test_the_command_prints_the_servers_rows(server: tuple[str, Queries], work: Workplace) -> None:
    answer = work("sql", "--url", server[0], "--format", "json", "SELECT 1")
    assert answer.code == 0, answer.err
    assert answer.records[1] == {"id": 2, "d": None, "e": {"base64": "AAE="}}


def test_what_the_server_refuses_is_said(server: tuple[str, Queries]) -> None:
    with Remote(server[0]) as remote:
        with pytest.raises(DataError, match="column wrong was not found"):
            remote.execute("SELECT wrong")
        with pytest.raises(UsageError, match="expected numbers of one dimension"):
            remote.execute("SELECT $q", {"q": [[1.0]]})


def test_nobody_there_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be reached: no answer within 2 seconds"):
        Remote("grpc://localhost:1/local", timeout=2)


def test_the_sdk_is_the_one_that_this_was_written_for() -> None:
    assert hasattr(ydb, "QuerySessionPool") and hasattr(ydb, "TypedValue")
