"""YDB's query service: sessions that a client is attached to, and statements whose rows are streamed."""

import time
from collections.abc import Iterator
from typing import Any

from vicinal.errors import UsageError
from vicinal.sql.server import execution, results
from vicinal.sql.server.answers import Refused, add_warning
from vicinal.sql.server.messages import Status, ydb_query_pb2, ydb_value_pb2
from vicinal.sql.server.sessions import Sessions

_ARROW = ydb_value_pb2.ResultSet.FORMAT_ARROW


class QueryService:
    """The methods of Ydb.Query.V1.QueryService, each named as there, in lower case."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def create_session(self, request: Any, call: Any) -> Any:
        """A new session."""
        session = self._sessions.create()
        return ydb_query_pb2.CreateSessionResponse(session_id=session.id, node_id=1)

    def delete_session(self, request: Any, call: Any) -> Any:
        """Ends a session."""
        self._sessions.end(self._sessions.find(request.session_id))
        return ydb_query_pb2.DeleteSessionResponse()

    def attach_session(self, request: Any, call: Any) -> Iterator[Any]:
        """A stream with which the session lives and ends."""
        session = self._sessions.find(request.session_id)
        if session.attached:
            raise Refused(Status.BAD_REQUEST, "a client is attached to this session already; create one of your own")
        session.attached = True
        call.add_callback(session.ended.set)
        try:
            yield ydb_query_pb2.SessionState(status=Status.SUCCESS)
            session.ended.wait()
        finally:
            self._sessions.end(session)

    def begin_transaction(self, request: Any, call: Any) -> Any:
        """Opens a transaction."""
        with self._sessions.using(request.session_id) as session:
            name = execution.begin(self._sessions, session, request.tx_settings)
        answer = ydb_query_pb2.BeginTransactionResponse()
        answer.tx_meta.id = name
        return answer

    def commit_transaction(self, request: Any, call: Any) -> Any:
        """Commits a transaction."""
        with self._sessions.using(request.session_id) as session:
            self._sessions.finish(session, request.tx_id, True)
        return ydb_query_pb2.CommitTransactionResponse()

    def rollback_transaction(self, request: Any, call: Any) -> Any:
        """Takes a transaction back."""
        with self._sessions.using(request.session_id) as session:
            self._sessions.finish(session, request.tx_id, False)
        return ydb_query_pb2.RollbackTransactionResponse()

    def execute_query(self, request: Any, call: Any) -> Iterator[Any]:
        """Runs statements, and streams the rows of each SELECT in parts."""
        start = time.perf_counter()
        query = execution.Query(request.query_content.text, request.parameters, execution.seconds_of(None, call), call)
        mode = request.exec_mode
        if mode in (ydb_query_pb2.EXEC_MODE_EXPLAIN, ydb_query_pb2.EXEC_MODE_PARSE, ydb_query_pb2.EXEC_MODE_VALIDATE):
            yield self._explained(query, mode)
            return
        control = request.tx_control if request.HasField("tx_control") else None
        outcome = execution.execute(self._sessions, request.session_id, control, query)
        first = ydb_query_pb2.ExecuteQueryResponsePart(status=Status.SUCCESS)
        first.tx_meta.id = outcome.transaction
        for warning in outcome.warnings:
            add_warning(first.issues, warning)
        if request.stats_mode > ydb_query_pb2.STATS_MODE_NONE:
            first.exec_stats.total_duration_us = int(1e6 * (time.perf_counter() - start))
            first.exec_stats.query_phases.add(duration_us=first.exec_stats.total_duration_us)
        waiting: Any = first
        for part in self._parts(request, outcome.rows):
            if waiting is not None:
                part.MergeFrom(waiting)
                waiting = None
            yield part
        if waiting is not None:
            yield waiting

    def _parts(self, request: Any, answers: list[Any]) -> Iterator[Any]:
        always = request.schema_inclusion_mode != ydb_query_pb2.SCHEMA_INCLUSION_MODE_FIRST_ONLY
        for number, rows in enumerate(answers):
            sets = (
                results.arrow_parts(rows, always)
                if request.result_set_format == _ARROW
                else results.parts(rows, request.response_part_limit_bytes, 0, always)
            )
            for one in sets:
                part = ydb_query_pb2.ExecuteQueryResponsePart(status=Status.SUCCESS, result_set_index=number)
                part.result_set.CopyFrom(one)
                yield part

    def _explained(self, query: execution.Query, mode: int) -> Any:
        """The plan of statements, which do not run."""
        if not query.text.strip():
            raise UsageError("expected a statement, found an empty text")
        part = ydb_query_pb2.ExecuteQueryResponsePart(status=Status.SUCCESS)
        plan, text = execution.explain(self._sessions, query)
        if mode == ydb_query_pb2.EXEC_MODE_EXPLAIN:
            part.exec_stats.query_plan, part.exec_stats.query_ast = plan, text
        return part
