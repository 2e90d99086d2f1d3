"""YDB's SDK with asyncio; tests/test_sql_serve.py has it without."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import ydb

P = ydb.PrimitiveType


@pytest.fixture
async def pool(port: int) -> AsyncIterator[Any]:
    async with ydb.aio.Driver(endpoint=f"grpc://localhost:{port}", database="/local") as driver:
        await driver.wait(timeout=10, fail_fast=True)
        async with ydb.aio.QuerySessionPool(driver) as made:
            await made.execute_with_retries(
                "DROP TABLE IF EXISTS A; CREATE TABLE A (id Int64, n Int64, PRIMARY KEY (id))"
            )
            yield made


async def test_statements_side_by_side(pool: Any) -> None:
    async def add(number: int) -> None:
        await pool.execute_with_retries("UPSERT INTO A (id, n) VALUES ($i, $i)", {"$i": number})

    await asyncio.gather(*(add(number) for number in range(200)))
    (found,) = await pool.execute_with_retries("SELECT COUNT(*) AS c, SUM(n) AS s FROM A")
    assert (found.rows[0].c, found.rows[0].s) == (200, 19900)


async def test_20_transactions_at_once_each_add_1(pool: Any) -> None:
    """All read and write one row: the SDK repeats those that are aborted, and none is lost."""
    await pool.execute_with_retries("UPSERT INTO A (id, n) VALUES (1, 0)")

    async def add(tx: Any) -> None:
        async with await tx.execute("SELECT n FROM A WHERE id = 1") as parts:
            found = [row.n async for part in parts for row in part.rows]
        async with await tx.execute("UPSERT INTO A (id, n) VALUES (1, $n)", {"$n": found[0] + 1}, commit_tx=True):
            pass

    settings = ydb.RetrySettings(max_retries=100)
    await asyncio.gather(*(pool.retry_tx_async(add, retry_settings=settings) for _ in range(20)))
    (found,) = await pool.execute_with_retries("SELECT n FROM A WHERE id = 1")
    assert found.rows[0].n == 20


async def test_a_large_result_comes_in_parts(pool: Any) -> None:
    kind = ydb.ListType(ydb.StructType().add_member("id", P.Int64).add_member("n", P.Int64))
    given = [{"id": number, "n": number} for number in range(50_000)]
    await pool.execute_with_retries("UPSERT INTO A SELECT id, n FROM AS_TABLE($r)", {"$r": (given, kind)})
    async with (
        pool.checkout() as session,
        await session.execute(f"SELECT id, '{'x' * 100}' AS t FROM A ORDER BY id") as parts,
    ):
        counts = [len(part.rows) async for part in parts]
    assert sum(counts) == 50_000 and len(counts) > 1


async def test_errors_are_the_sdks_classes(pool: Any) -> None:
    with pytest.raises(ydb.SchemeError):
        await pool.execute_with_retries("SELECT 1 FROM nowhere")
    with pytest.raises(ydb.GenericError):
        await pool.execute_with_retries("SELECT nothing FROM A")
