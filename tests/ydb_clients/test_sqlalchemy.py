"""ydb-sqlalchemy: tables and objects through the ORM."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from ydb_sqlalchemy import upsert


class Base(orm.DeclarativeBase):
    pass


class Fact(Base):
    __tablename__ = "orm_facts"
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    user: orm.Mapped[str | None] = orm.mapped_column(sa.String)
    score: orm.Mapped[float | None] = orm.mapped_column(sa.Double)
    day: orm.Mapped[datetime.date | None] = orm.mapped_column(sa.Date)
    about: orm.Mapped[dict | None] = orm.mapped_column(sa.JSON)
    embedding: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary)


@pytest.fixture
def engine(port: int) -> Iterator[Any]:
    made = sa.create_engine(f"yql+ydb://localhost:{port}/local")
    Base.metadata.drop_all(made)
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def test_objects_are_stored_and_found(engine: Any) -> None:
    day = datetime.date(2024, 2, 29)
    with orm.Session(engine) as session:
        session.add_all([Fact(id=n, user=f"u{n % 2}", score=n / 2, day=day, about={"n": [n]}) for n in range(6)])
        session.commit()
        found = session.scalars(sa.select(Fact).where(Fact.user == "u1").order_by(Fact.score.desc())).all()
        assert [(one.id, one.score, one.day, one.about) for one in found] == [
            (n, n / 2, day, {"n": [n]}) for n in (5, 3, 1)
        ]
        counts = sa.select(Fact.user, sa.func.count()).group_by(Fact.user).order_by(Fact.user)
        assert session.execute(counts).all() == [("u0", 3), ("u1", 3)]
        found[0].user = "other"
        session.delete(found[1])
        session.commit()
    with orm.Session(engine) as session:
        users = session.execute(sa.select(Fact.id, Fact.user).order_by(Fact.id)).all()
    assert users == [(0, "u0"), (1, "u1"), (2, "u0"), (4, "u0"), (5, "other")]


def test_a_transaction_is_rolled_back(engine: Any) -> None:
    with orm.Session(engine.execution_options(isolation_level="SERIALIZABLE")) as session:
        session.add(Fact(id=1))
        session.flush()
        assert session.scalar(sa.select(sa.func.count()).select_from(Fact)) == 1
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).select_from(Fact)) == 0


def test_upsert_and_the_schema(engine: Any) -> None:
    table: Any = Fact.__table__
    with engine.connect() as connection:
        for user in ("a", "b"):
            connection.execute(upsert(table).values(id=1, user=user))
        assert connection.execute(sa.select(table.c.id, table.c.user)).all() == [(1, "b")]
    inspected = sa.inspect(engine)
    assert inspected.has_table("orm_facts") and not inspected.has_table("nowhere")
    names = [one["name"] for one in inspected.get_columns("orm_facts")]
    assert names == ["id", "user", "score", "day", "about", "embedding"]
    assert inspected.get_pk_constraint("orm_facts")["constrained_columns"] == ["id"]


def test_a_key_that_is_there_is_an_integrity_error(engine: Any) -> None:
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        for _ in range(2):
            connection.execute(sa.insert(Fact).values(id=1))
