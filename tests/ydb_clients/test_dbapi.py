"""ydb-dbapi, the interface of PEP 249."""

from collections.abc import Iterator
from typing import Any

import pytest
import ydb
import ydb_dbapi


@pytest.fixture
def connection(port: int) -> Iterator[Any]:
    made = ydb_dbapi.connect(host="localhost", port=str(port), database="/local")
    with made.cursor() as cursor:
        cursor.execute_scheme("DROP TABLE IF EXISTS D")
        cursor.execute_scheme("CREATE TABLE D (id Int64 NOT NULL, name Utf8, PRIMARY KEY (id))")
        values = [{"id": number, "name": f"n{number}"} for number in range(5)]
        kind = ydb.ListType(
            ydb.StructType()
            .add_member("id", ydb.PrimitiveType.Int64)
            .add_member("name", ydb.OptionalType(ydb.PrimitiveType.Utf8))
        )
        cursor.execute("UPSERT INTO D SELECT id, name FROM AS_TABLE($rows)", {"$rows": ydb.TypedValue(values, kind)})
    made.commit()
    yield made
    made.close()


def test_a_cursor_describes_and_fetches(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM D WHERE id >= $low ORDER BY id", {"$low": 2})
        assert [one[:2] for one in cursor.description] == [("id", "Int64?"), ("name", "Utf8?")]
        assert cursor.rowcount == 3
        assert cursor.fetchone() == (2, "n2")
        assert cursor.fetchmany(5) == [(3, "n3"), (4, "n4")]
        assert cursor.fetchone() is None


@pytest.mark.parametrize("level", ["SERIALIZABLE", "AUTOCOMMIT", "SNAPSHOT READONLY"])
def test_levels_of_isolation(connection: Any, level: str) -> None:
    connection.set_isolation_level(ydb_dbapi.IsolationLevel(level))
    connection.begin()
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM D")
        assert cursor.fetchone() == (5,)
        if level == "SNAPSHOT READONLY":
            with pytest.raises(ydb_dbapi.Error):
                cursor.execute("DELETE FROM D WHERE id = 1")
        else:
            cursor.execute("DELETE FROM D WHERE id = 1")
    connection.rollback()
    connection.set_isolation_level(ydb_dbapi.IsolationLevel.AUTOCOMMIT)
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM D")
        assert cursor.fetchone() == (4 if level == "AUTOCOMMIT" else 5,)


def test_errors_are_those_of_pep_249(connection: Any) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(ydb_dbapi.IntegrityError):
            cursor.execute("INSERT INTO D (id) VALUES (1)")
        with pytest.raises(ydb_dbapi.ProgrammingError):
            cursor.execute("SELECT * FROM nowhere")
        with pytest.raises(ydb_dbapi.DatabaseError):
            cursor.execute("SELEC 1")


def test_the_schema_is_read(connection: Any) -> None:
    assert "D" in connection.get_table_names()
    assert connection.check_exists("/local/D") and not connection.check_exists("/local/nowhere")
    columns = connection.describe("/local/D").columns
    assert [(one.name, str(one.type)) for one in columns] == [("id", "Int64"), ("name", "Utf8?")]
