"""A database served to YDB's clients, through YDB's own SDK; tests/ydb_clients has the other clients."""

import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import ydb
from ydb._grpc.common import ydb_query_v1_pb2_grpc
from ydb._grpc.common.protos import ydb_query_pb2

import vicinal.sql
from vicinal.errors import UsageError
from vicinal.sql.database import Database
from vicinal.sql.server import limits
from vicinal.sql.server.answers import Refused
from vicinal.sql.server.sessions import Sessions
from vicinal.sql.vectors import binary

P = ydb.PrimitiveType


def driver_of(server: Any, **given: Any) -> Any:
    driver = ydb.Driver(endpoint=f"grpc://localhost:{server.port}", database="/local", **given)
    driver.wait(timeout=10, fail_fast=True)
    return driver


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with vicinal.sql.serve(":memory:", port=0) as server:
        yield server


@pytest.fixture(scope="module")
def driver(served: Any) -> Iterator[ydb.Driver]:
    made = driver_of(served)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pool(driver: ydb.Driver) -> Iterator[ydb.QuerySessionPool]:
    with ydb.QuerySessionPool(driver) as made:
        made.execute_with_retries(
            "CREATE TABLE Facts (id Uint64 NOT NULL, user Utf8, e String, PRIMARY KEY (id), INDEX i GLOBAL ON (user))"
        )
        yield made


def rows(pool: ydb.QuerySessionPool, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    found = pool.execute_with_retries(text, parameters)
    return [tuple(row.values()) for row in found[0].rows]


EVERY_TYPE: dict[str, tuple[Any, Any]] = {
    "Bool": (True, P.Bool),
    "Int8": (-128, P.Int8),
    "Int16": (-32768, P.Int16),
    "Int32": (-(1 << 31), P.Int32),
    "Int64": (-(1 << 63), P.Int64),
    "Uint8": (255, P.Uint8),
    "Uint16": (65535, P.Uint16),
    "Uint32": ((1 << 32) - 1, P.Uint32),
    "Uint64": ((1 << 64) - 1, P.Uint64),
    "Float": (0.5, P.Float),
    "Double": (0.1, P.Double),
    "Utf8": ("é\x00", P.Utf8),
    "String": (b"\x00\xff", P.String),
    "Json": ('{"a": [1, null]}', P.Json),
    "JsonDocument": ('{"a": 1}', P.JsonDocument),
    "Uuid": (uuid.UUID("550e8400-e29b-41d4-a716-446655440000"), P.UUID),
    "Date": (date(2105, 12, 31), P.Date),
    "Date32": (date(1492, 10, 12), P.Date32),
    "Datetime": (datetime(2024, 2, 29, 12, 30), P.Datetime),
    "Datetime64": (datetime(1912, 4, 15, 2, 20), P.Datetime64),
    "Timestamp": (datetime(2024, 2, 29, 12, 30, 0, 1), P.Timestamp),
    "Timestamp64": (datetime(1912, 4, 15, 2, 20, 0, 7), P.Timestamp64),
    "Interval": (timedelta(days=-3, microseconds=5), P.Interval),
    "Interval64": (timedelta(days=40), P.Interval64),
    "Decimal": (Decimal("-12345.678900000"), ydb.DecimalType(22, 9)),
    "Optional": (None, ydb.OptionalType(P.Utf8)),
    "List": (["a", "b"], ydb.ListType(P.Utf8)),
    "List of numbers": ([1, 0, 3], ydb.ListType(P.Int64)),
    "List with NULL": ([0, None, 3], ydb.ListType(ydb.OptionalType(P.Int64))),
    "empty List": ([], ydb.ListType(P.Double)),
    "Struct": ({"a": 1, "b": "x"}, ydb.StructType().add_member("a", P.Int32).add_member("b", P.Utf8)),
    "Tuple": ((1, "x"), ydb.TupleType().add_element(P.Int32).add_element(P.Utf8)),
    "List of Structs": (
        [{"a": 1, "d": date(2024, 1, 1)}, {"a": 2, "d": None}],
        ydb.ListType(ydb.StructType().add_member("a", P.Int32).add_member("d", ydb.OptionalType(P.Date))),
    ),
}


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_a_value_of_every_type_comes_back(pool: ydb.QuerySessionPool, name: str) -> None:
    value, kind = EVERY_TYPE[name]
    settings = ydb.QueryClientSettings().with_native_json_in_result_sets(False)
    with ydb.QuerySessionPool(pool._driver, query_client_settings=settings) as plain:
        assert rows(plain, "SELECT $v AS v", {"$v": (value, kind)}) == [(value,)]


def test_a_column_of_every_type_comes_back(pool: ydb.QuerySessionPool) -> None:
    columns = {
        name: kind for name, (_, kind) in EVERY_TYPE.items() if not isinstance(kind, ydb.ListType) and " " not in name
    }
    columns = {name: kind for name, kind in columns.items() if name not in ("Optional", "Struct", "Tuple")}
    kinds = {name: "Decimal(22, 9)" if name == "Decimal" else name for name in columns}
    made = ", ".join(f"c{name} {kind}" for name, kind in kinds.items())
    pool.execute_with_retries(f"CREATE TABLE Kinds (id Int32, {made}, PRIMARY KEY (id))")
    names = ", ".join(f"c{name}" for name in columns)
    values = ", ".join(f"${name}" for name in columns)
    pool.execute_with_retries(
        f"UPSERT INTO Kinds (id, {names}) VALUES (1, {values})",
        {f"${name}": EVERY_TYPE[name] for name in columns},
    )
    settings = ydb.QueryClientSettings().with_native_json_in_result_sets(False)
    with ydb.QuerySessionPool(pool._driver, query_client_settings=settings) as plain:
        (found,) = rows(plain, f"SELECT {names} FROM Kinds")
    assert found == tuple(EVERY_TYPE[name][0] for name in columns)
    described = pool._driver.table_client.describe_table("/local/Kinds")
    assert [str(one.type) for one in described.columns[1:]] == [
        str(ydb.OptionalType(kind)) for kind in columns.values()
    ]


def test_types_of_ydb_survive_a_parquet_file(tmp_path: Path) -> None:
    with vicinal.sql.connect() as db:
        db.execute(
            """CREATE TABLE K (id Int32, u Uuid, d Decimal(10, 3), j JsonDocument, t Timestamp64, i Interval, e String,
            PRIMARY KEY (id));
            UPSERT INTO K (id, u, d, j, e) VALUES (1, CAST("550e8400-e29b-41d4-a716-446655440000" AS Uuid),
            CAST("1.5" AS Decimal(10, 3)), Json("[1]"), Knn::ToBinaryStringFloat([1.f]))"""
        )
        with pytest.raises(UsageError, match="column i is an Interval, which Parquet has no type for"):
            vicinal.sql.export_table(db, "K", tmp_path / "k.parquet")
        db.execute("ALTER TABLE K DROP COLUMN i")
        vicinal.sql.export_table(db, "K", tmp_path / "k.parquet", column="e")
        vicinal.sql.import_table(db, "L", tmp_path / "k.parquet", column="e")
        shown = [db.execute(f"SHOW CREATE TABLE {name}")[0][2].replace(f"`{name}`", "") for name in "KL"]
        assert shown[0] == shown[1]
        first = list(db.execute("SELECT * FROM K"))
        assert first == list(db.execute("SELECT * FROM L")) == list(db.execute("SELECT * FROM L LIMIT 5"))
        assert first[0][1:3] == (uuid.UUID("550e8400-e29b-41d4-a716-446655440000"), Decimal("1.500"))


ERRORS = {
    "SELECT x FROM nowhere": ydb.SchemeError,
    "DROP TABLE nowhere": ydb.SchemeError,
    "SELECT nothing FROM Facts": ydb.GenericError,
    "SELEC 1": ydb.GenericError,
    "CREATE TABLE Facts (id Int32, PRIMARY KEY (id))": ydb.GenericError,
    "DECLARE $q AS Utf8; SELECT $q": ydb.BadRequest,
    "UPSERT INTO Facts (id) VALUES (NULL)": ydb.BadRequest,
    "BEGIN": ydb.GenericError,
}


@pytest.mark.parametrize("text", ERRORS)
def test_errors_are_the_sdks_classes(pool: ydb.QuerySessionPool, text: str) -> None:
    with pytest.raises(ERRORS[text]):
        pool.execute_with_retries(text)


def test_an_error_names_its_place_and_a_key_that_exists_is_precondition_failed(pool: ydb.QuerySessionPool) -> None:
    with pytest.raises(ydb.GenericError, match=r"row: 2 column: 8.*unknown column nothing"):
        pool.execute_with_retries("-- a\nSELECT nothing FROM Facts")
    with pytest.raises(ydb.PreconditionFailed):
        pool.execute_with_retries("INSERT INTO Facts (id) VALUES (900); INSERT INTO Facts (id) VALUES (900)")
    with pytest.raises(ydb.BadRequest, match="expected Utf8, found Int64"):
        pool.execute_with_retries("DECLARE $q AS Utf8; SELECT $q", {"$q": 1})


def test_a_transaction_is_committed_whole_or_rolled_back(pool: ydb.QuerySessionPool) -> None:
    def both(tx: ydb.QueryTxContext) -> None:
        tx.execute("UPSERT INTO Facts (id, user) VALUES (1, 'a'u)").__exit__(None, None, None)
        with tx.execute("SELECT user FROM Facts WHERE id = 1") as found:
            assert [row.user for one in found for row in one.rows] == ["a"]

    pool.retry_tx_sync(both)
    assert rows(pool, "SELECT user FROM Facts WHERE id = 1") == [("a",)]
    with pool.checkout() as session:
        tx = session.transaction().begin()
        list(tx.execute("UPSERT INTO Facts (id, user) VALUES (1, 'b'u); DELETE FROM Facts WHERE id = 900"))
        tx.rollback()
        tx = session.transaction().begin()
        with pytest.raises(ydb.GenericError):
            list(tx.execute("SELECT nothing FROM Facts"))
    assert rows(pool, "SELECT user FROM Facts WHERE id = 1") == [("a",)]


def test_a_transaction_that_read_what_another_changed_is_aborted(pool: ydb.QuerySessionPool) -> None:
    """Each adds 1 to a number that both have read; without the check one addition would be lost."""
    pool.execute_with_retries("CREATE TABLE Counts (id Int32, n Int32, PRIMARY KEY (id))")
    pool.execute_with_retries("UPSERT INTO Counts (id, n) VALUES (1, 0), (2, 0)")
    with pool.checkout() as a, pool.checkout() as b:
        one, other = a.transaction().begin(), b.transaction().begin()
        for tx in (one, other):
            (found,) = [row.n for part in tx.execute("SELECT n FROM Counts WHERE id = 1") for row in part.rows]
            key = 1 if tx is one else 2
            list(tx.execute(f"UPSERT INTO Counts (id, n) VALUES ({key}, {found + 1})"))
        one.commit()
        with pytest.raises(ydb.Aborted, match="another transaction changed Counts"):
            other.commit()
    done: list[Any] = []

    def add(tx: ydb.QueryTxContext) -> None:
        (found,) = [row.n for part in tx.execute("SELECT n FROM Counts WHERE id = 2") for row in part.rows]
        if not done:
            done.append(pool.execute_with_retries("UPDATE Counts SET n = 10 WHERE id = 2"))
        list(tx.execute("UPSERT INTO Counts (id, n) VALUES (2, $n)", {"$n": (found + 1, P.Int32)}))

    pool.retry_tx_sync(add)  # the SDK runs it again
    assert rows(pool, "SELECT n FROM Counts ORDER BY id") == [(1,), (11,)]


def test_a_transaction_that_only_reads_sees_one_moment_and_refuses_changes(pool: ydb.QuerySessionPool) -> None:
    with pool.checkout() as session:
        tx = session.transaction(ydb.QuerySnapshotReadOnly()).begin()
        count = "SELECT COUNT(*) AS n FROM Facts"
        before = [row.n for part in tx.execute(count) for row in part.rows]
        pool.execute_with_retries("UPSERT INTO Facts (id) VALUES (777)")
        assert [row.n for part in tx.execute(count) for row in part.rows] == before
        with pytest.raises(ydb.Unauthorized, match="for reading only"):
            list(tx.execute("UPSERT INTO Facts (id) VALUES (778)"))
    with pytest.raises(ydb.PreconditionFailed, match="a change of the schema within a transaction"):
        pool.retry_tx_sync(lambda tx: list(tx.execute("CREATE TABLE t (id Int32, PRIMARY KEY (id))")))


def test_the_table_service_answers(driver: ydb.Driver, pool: ydb.QuerySessionPool) -> None:
    with ydb.SessionPool(driver) as sessions, sessions.checkout() as session:
        session.create_table(
            "/local/dir/Many",
            ydb.TableDescription()
            .with_column(ydb.Column("a", P.Uint32))
            .with_column(ydb.Column("b", ydb.OptionalType(P.Utf8)))
            .with_column(ydb.Column("n", ydb.OptionalType(P.Int64)))
            .with_primary_keys("a", "b"),
        )
        kinds = ydb.BulkUpsertColumns().add_column("a", P.Uint32).add_column("b", P.Utf8).add_column("n", P.Int64)
        given = [{"a": i // 2, "b": f"{i % 2}", "n": i} for i in range(3000)]
        driver.table_client.bulk_upsert("/local/dir/Many", [*given, {"a": 0, "b": "0", "n": 5}], kinds)
        query = session.prepare("DECLARE $a AS Uint32; SELECT n FROM `dir/Many` WHERE a = $a ORDER BY n")
        (found,) = session.transaction().execute(query, {"$a": 0}, commit_tx=True)
        assert [row.n for row in found.rows] == [1, 5]
        with pytest.raises(ydb.TruncatedResponseError):
            session.transaction().execute("SELECT n FROM `dir/Many`", commit_tx=True)
        bounds = ydb.KeyRange(
            ydb.KeyBound.inclusive((1498, "1"), ydb.TupleType().add_element(P.Uint32).add_element(P.Utf8)), None
        )
        parts = session.read_table("/local/dir/Many", bounds, columns=("a", "n"), ordered=True)
        assert [tuple(row.values()) for part in parts for row in part.rows] == [
            (1498, 2997),
            (1499, 2998),
            (1499, 2999),
        ]
        described = session.describe_table("/local/dir/Many")
        assert (described.primary_key, [one.name for one in described.columns]) == (["a", "b"], ["a", "b", "n"])
        assert "SEQ_SCAN" in session.explain("SELECT n FROM `dir/Many`").query_plan
        session.alter_table(
            "/local/dir/Many", add_columns=[ydb.Column("m", ydb.OptionalType(P.Int32))], drop_columns=["n"]
        )
        names = [one.name for one in session.describe_table("/local/dir/Many").columns]
        assert names == ["a", "b", "m"]
        with pytest.raises(ydb.Unimplemented):
            session.copy_table("/local/Facts", "/local/Copy")
    with pytest.warns(DeprecationWarning, match="scan_query"):
        scan = driver.table_client.scan_query("SELECT a FROM `/local/dir/Many` WHERE a < 1")
    assert [row.a for part in scan for row in part.result_set.rows] == [0, 0]
    listed = driver.scheme_client.list_directory("/local")
    assert {"dir", "Facts"} <= {one.name for one in listed.children}
    assert driver.scheme_client.describe_path("/local/dir/Many").is_table()
    with pytest.raises(ydb.SchemeError):
        driver.scheme_client.describe_path("/local/nowhere")
    driver.scheme_client.make_directory("/local/empty/one")
    assert [one.name for one in driver.scheme_client.list_directory("/local/empty").children] == ["one"]
    driver.scheme_client.remove_directory("/local/empty/one")


def test_vectors_are_searched_and_a_target_of_another_length_is_warned_of(pool: ydb.QuerySessionPool) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    given = [{"id": 100 + i, "e": binary.to_binary(one)} for i, one in enumerate(vectors)]
    kind = ydb.ListType(ydb.StructType().add_member("id", P.Uint64).add_member("e", P.String))
    text = "DECLARE $rows AS List<Struct<id: Uint64, e: String>>; UPSERT INTO Facts SELECT id, e FROM AS_TABLE($rows)"
    pool.execute_with_retries(text, {"$rows": (given, kind)})
    nearest = "SELECT id FROM Facts WHERE id >= 100 AND id < 150 ORDER BY Knn::CosineDistance(e, $q) LIMIT 3"
    target = vectors[7].astype(np.float64)
    cosines = vectors.astype(np.float64) @ target / np.linalg.norm(vectors.astype(np.float64), axis=1)
    expected = [(100 + int(one),) for one in np.argsort(-cosines, kind="stable")[:3]]
    assert rows(pool, nearest, {"$q": (given[7]["e"], P.String)}) == expected


def test_names_of_tables_are_paths(pool: ydb.QuerySessionPool) -> None:
    pool.execute_with_retries("CREATE TABLE `/local/deep/er/T` (id Int32, PRIMARY KEY (id))")
    pool.execute_with_retries("UPSERT INTO `deep/er/T` (id) VALUES (5)")
    for text in (
        "SELECT id FROM `/local/deep/er/T`",
        'PRAGMA TablePathPrefix("/local/deep/er"); SELECT id FROM T',
        'PRAGMA TablePathPrefix = "deep"; SELECT id FROM `er/T`',
    ):
        assert rows(pool, text) == [(5,)]
    with pytest.raises(ydb.SchemeError):  # a pragma ends with its text
        pool.execute_with_retries("SELECT id FROM T")


def test_columns_come_and_go_and_settings_of_parts_change_nothing(pool: ydb.QuerySessionPool) -> None:
    pool.execute_with_retries(
        "CREATE TABLE Parts (id Bigint NOT NULL, PRIMARY KEY (id)) WITH (AUTO_PARTITIONING_BY_LOAD = ENABLED)"
    )
    pool.execute_with_retries("ALTER TABLE Parts ADD COLUMN day Date32")
    pool.execute_with_retries("UPSERT INTO Parts (id, day) VALUES (1, $d)", {"$d": (date(1492, 10, 12), P.Date32)})
    assert rows(pool, "SELECT * FROM Parts") == [(1, date(1492, 10, 12))]
    shown = rows(pool, "SHOW CREATE TABLE Parts")[0][2]
    assert "`id` Int64 NOT NULL" in shown and "`day` Date32" in shown
    pool.execute_with_retries("ALTER TABLE Parts DROP COLUMN day")
    assert rows(pool, "SELECT * FROM Parts") == [(1,)]
    with pytest.raises(ydb.GenericError, match="column id is part of the primary key"):
        pool.execute_with_retries("ALTER TABLE Parts DROP COLUMN id")


CASTS = {
    'CAST(Timestamp("1970-01-01T00:00:00.5Z") AS Utf8)': "1970-01-01T00:00:00.500000Z",
    'CAST(Datetime("2024-01-02T03:04:05Z") AS String)': b"2024-01-02T03:04:05Z",
    'CAST(Date("2024-01-02") AS Utf8)': "2024-01-02",
    'CAST("550e8400-e29b-41d4-a716-446655440000" AS Uuid)': uuid.UUID("550e8400-e29b-41d4-a716-446655440000"),
    'CAST(CAST("1.50" AS Decimal(22, 9)) AS Utf8)': "1.5",
    'CAST(CAST("-3.7" AS Decimal(22, 9)) AS Int32)': -3,
    "CAST(3 AS Decimal(5, 2)) > 2": True,
}


@pytest.mark.parametrize("text", CASTS)
def test_casts(pool: ydb.QuerySessionPool, text: str) -> None:
    assert rows(pool, f"SELECT {text} AS v") == [(CASTS[text],)]


def test_what_there_is_not_is_refused_with_its_name(served: Any) -> None:
    with grpc.insecure_channel(f"localhost:{served.port}") as channel:
        call = channel.unary_unary("/Ydb.Table.V1.TableService/CopyTable")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"")
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details() == "Ydb.Table.V1.TableService.CopyTable is not supported by this server"


def test_a_session_and_a_transaction_that_are_not_there(served: Any) -> None:
    request = ydb_query_pb2.ExecuteQueryRequest(session_id="none", query_content={"text": "SELECT 1"})
    with grpc.insecure_channel(f"localhost:{served.port}") as channel:
        service = ydb_query_v1_pb2_grpc.QueryServiceStub(channel)
        (part,) = service.ExecuteQuery(request)
        session = service.CreateSession(ydb_query_pb2.CreateSessionRequest()).session_id
        commit = ydb_query_pb2.CommitTransactionRequest(session_id=session, tx_id="none")
        ended = service.CommitTransaction(commit)
    with pytest.raises(ydb.BadSession, match="Session not found"):
        ydb.issues._process_response(part)
    with pytest.raises(ydb.NotFound, match="Transaction not found"):
        ydb.issues._process_response(ended)


def test_a_server_beyond_this_machine_needs_a_token(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"host: 0.0.0.0 is an address that other machines reach, and needs a token"):
        vicinal.sql.serve(":memory:", "0.0.0.0", 0)
    file = tmp_path / "tokens"
    file.write_text("secret\nother\n", "utf-8")
    with vicinal.sql.serve(":memory:", port=0, token_file=file) as server:
        with pytest.raises((ydb.Error, TimeoutError)):
            driver_of(server)
        given: list[Any] = [
            ydb.AccessTokenCredentials("other"),
            ydb.StaticCredentials.from_user_password("me", "secret"),
        ]
        for credentials in given:
            with driver_of(server, credentials=credentials) as driver, ydb.QuerySessionPool(driver) as pool:
                assert rows(pool, "SELECT 1 AS one") == [(1,)]
        with grpc.insecure_channel(f"localhost:{server.port}") as channel:
            call = channel.unary_unary("/Ydb.Discovery.V1.DiscoveryService/ListEndpoints")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", metadata=[("x-ydb-auth-ticket", "wrong")])
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_database_for_reading_only_stays_as_it_is(tmp_path: Path) -> None:
    with vicinal.sql.connect(tmp_path / "a.db") as db:
        db.execute("CREATE TABLE T (id Int32, PRIMARY KEY (id))")
    with vicinal.sql.serve(tmp_path / "a.db", port=0, read_only=True) as server, driver_of(server) as driver:
        with ydb.QuerySessionPool(driver) as pool:
            assert rows(pool, "SELECT * FROM T") == []
            for text in (
                "UPSERT INTO T (id) VALUES (1)",
                "CREATE TABLE U (id Int32, PRIMARY KEY (id))",
                "DROP TABLE T",
            ):
                with pytest.raises(ydb.Unauthorized, match="for reading only"):
                    pool.execute_with_retries(text)
        kinds = ydb.BulkUpsertColumns().add_column("id", P.Int32)
        with pytest.raises(ydb.Unauthorized):
            driver.table_client.bulk_upsert("/local/T", [{"id": 1}], kinds)
        with pytest.raises(ydb.Unauthorized):
            driver.scheme_client.make_directory("/local/d")


def test_200_sessions_at_once(driver: ydb.Driver, served: Any) -> None:
    before = len(served._sessions)
    sessions = [ydb.QuerySession(driver) for _ in range(200)]
    for one in sessions:
        one.create()
    assert len(served._sessions) - before == 200
    assert {next(row.n for part in one.execute("SELECT 1 AS n") for row in part.rows) for one in sessions} == {1}
    for one in sessions:
        one.delete()
    assert len(served._sessions) == before


def test_what_nobody_uses_ends() -> None:
    now = [0.0]
    with Database() as database:
        database.execute("CREATE TABLE T (id Int32, PRIMARY KEY (id))")
        sessions = Sessions(database, "/local", limits.Timeouts(300, 60), lambda: now[0])
        session = sessions.create()
        transaction = sessions.begin(session, False)
        transaction.connection.run_all("UPSERT INTO T (id) VALUES (1)", {})
        now[0] = 61
        sessions.expire()
        with pytest.raises(Refused, match="Transaction not found"):
            sessions.finish(session, transaction.id, True)
        assert len(database.execute("SELECT * FROM T")) == 0
        now[0] = 302
        sessions.expire()
        with pytest.raises(Refused, match="Session not found"):
            sessions.find(session.id)
        for _ in range(limits.SESSIONS):
            sessions.create()
        with pytest.raises(Refused, match="1000 sessions are open"):
            sessions.create()


def test_a_statement_that_takes_too_long_ends(driver: ydb.Driver) -> None:
    text = "SELECT COUNT(*) AS n FROM AS_TABLE($a) AS a CROSS JOIN AS_TABLE($a) AS b CROSS JOIN AS_TABLE($a) AS c"
    text += " WHERE a.x + b.x * c.x = 7"
    kind = ydb.ListType(ydb.StructType().add_member("x", P.Int64))
    settings = ydb.BaseRequestSettings().with_operation_timeout(0.3).with_timeout(30)
    with ydb.SessionPool(driver) as sessions, sessions.checkout() as session:
        query = session.prepare(f"DECLARE $a AS List<Struct<x: Int64>>; {text}")
        given = {"$a": [{"x": one} for one in range(5000)]}
        assert kind is not None
        with pytest.raises(ydb.Timeout, match="took longer than its timeout"):
            session.transaction().execute(query, given, commit_tx=True, settings=settings)
        assert session.transaction().execute("SELECT 1 AS n", commit_tx=True)[0].rows[0].n == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command(tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "vicinal", "sql", "serve", str(tmp_path / "a.db"), "--port", "0"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert "Ctrl-C ends it" in running.stderr.readline()
    running.send_signal(number)
    assert running.wait(60) == code
    assert ("interrupted" in running.stderr.read()) == (code == 130)
    running.stderr.close()
    with vicinal.sql.connect(tmp_path / "a.db", read_only=True) as db:
        assert db.tables() == {}
    assert not (tmp_path / "a.db.wal").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"port": 70_000}, "port: expected 0 to 65535, found 70000"),
        ({"session_timeout": 0}, "session_timeout: expected seconds above 0, found 0"),
        ({"transaction_timeout": -1.0}, "transaction_timeout: expected seconds above 0, found -1"),
    ],
)
def test_a_number_that_serves_nothing_is_refused(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        vicinal.sql.serve(tmp_path / "a.db", **{"port": 0, **given})
    assert not list(tmp_path.iterdir())


def test_a_port_in_use_leaves_no_file(tmp_path: Path, served: Any) -> None:
    with pytest.raises(UsageError, match="cannot be listened at"):
        vicinal.sql.serve(tmp_path / "a.db", port=served.port)
    assert not list(tmp_path.iterdir())


def test_a_client_trusts_the_certificate_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-out", str(pair[0]), "-keyout", str(pair[1]), "-subj", "/CN=localhost"]
    if shutil.which("openssl") is None:
        pytest.skip("makes a certificate with openssl")
    subprocess.run([*make, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    with pytest.raises(UsageError, match="a certificate and its key in PEM, in this order"):
        vicinal.sql.serve(":memory:", port=0, tls=pair[::-1])
    with vicinal.sql.serve(":memory:", port=0, tls=pair) as server:
        monkeypatch.setenv("YDB_SSL_ROOT_CERTIFICATES_FILE", str(pair[0]))
        with vicinal.sql.Remote(server.url) as remote:
            assert list(remote.execute("SELECT 1 + 1")) == [(2,)]
        monkeypatch.setenv("YDB_SSL_ROOT_CERTIFICATES_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(UsageError, match="no such file"):
            vicinal.sql.Remote(server.url)
