"""Statements on YDB, against a loopback server made from the SDK's own service stubs.

The server answers as the protocol says and records what it was sent. It is no YDB: what a real one makes of the
statements is not tested here.
"""

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
from vicinal.sql import binary
from vicinal.sql.remote import Remote
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
        yield ydb_query_pb2.SessionState(status=SUCCESS)
        while context.is_active():
            if not context._state.condition.acquire(timeout=0.01):
                continue
            context._state.condition.release()
            return

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
            "UPSERT INTO T (e) VALUES (Knn::ToBinaryString([1.f])); // one\nSELECT id FROM T WHERE user = $u",
            {"$q": np.array([1, 2], np.float32), "u": "x", "n": 5, "b": b"\xff", "i": np.array([1], np.int8), "f": 0.5},
        )
    assert rows.columns == ["id", "d", "e"]
    assert list(rows) == [(1, 0.5, b"\x00\x01"), (2, None, b"\x00\x01"), (3, 0.5, b"\x00\x01")]
    assert [str(kind) for kind in rows.kinds] == ["Uint64", "Float", "String"]
    (asked,) = queries.asked
    assert asked.query_content.text == (
        'UPSERT INTO T (e) VALUES (Untag(Knn::ToBinaryStringFloat([1.f]), "FloatVector")); -- one\n'
        "SELECT id FROM T WHERE user = $u"
    )
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
    with pytest.raises(UsageError, match="cannot be reached"):
        Remote("grpc://localhost:1/local", timeout=2)


def test_the_sdk_is_the_one_that_this_was_written_for() -> None:
    assert hasattr(ydb, "QuerySessionPool") and hasattr(ydb, "TypedValue")
