"""ydb-mcp: the tools that an assistant calls."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ydb_mcp.server import YDBMCPServer


@pytest.fixture
async def server(port: int) -> AsyncIterator[Any]:
    made = YDBMCPServer(endpoint=f"grpc://localhost:{port}", database="/local", allow_write=True)
    yield made
    await made._driver.stop()


async def call(server: Any, tool: str, **given: Any) -> Any:
    answer = await server.call_tool(tool, given)
    content = answer[0] if isinstance(answer, tuple) else answer
    return json.loads(content[0].text)


async def test_the_tools_answer(server: Any) -> None:
    assert (await call(server, "ydb_status"))["ydb_connection"] == "connected"
    await call(server, "ydb_query", sql="DROP TABLE IF EXISTS M")
    await call(server, "ydb_query", sql="CREATE TABLE M (id Int64, name Utf8, PRIMARY KEY (id))")
    await call(server, "ydb_query", sql="UPSERT INTO M (id, name) VALUES (1, 'one'u)")
    found = await call(server, "ydb_query_with_params", sql="SELECT name FROM M WHERE id = $id", params={"id": 1})
    assert found["result_sets"][0] == {"columns": ["name"], "rows": [["one"]]}
    listed = await call(server, "ydb_list_directory", path="/local")
    assert "M" in json.dumps(listed)
    described = await call(server, "ydb_describe_path", path="/local/M")
    assert "name" in json.dumps(described)
    assert "plan" in json.dumps(await call(server, "ydb_explain_query", sql="SELECT * FROM M")).lower()
