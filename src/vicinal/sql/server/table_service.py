"""YDB's table service: sessions, statements whose rows come as a whole, and transactions."""

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from vicinal.sql.parse.grammar import parse
from vicinal.sql.parse.statements import Declare
from vicinal.sql.server import execution, limits, results
from vicinal.sql.server.answers import Refused, add_warning
from vicinal.sql.server.messages import Status, ydb_table_pb2
from vicinal.sql.server.sessions import Sessions
from vicinal.sql.server.values import type_message
from vicinal.sql.types import named

PREPARED = 1000  # texts that are kept for their ids


class TableService:
    """The methods of Ydb.Table.V1.TableService about sessions and statements, each named as there, in lower case."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._prepared: OrderedDict[str, str] = OrderedDict()

    # Sessions.

    def create_session(self, request: Any, call: Any) -> Any:
        """A new session."""
        return ydb_table_pb2.CreateSessionResult(session_id=self._sessions.create().id)

    def keep_alive(self, request: Any, call: Any) -> Any:
        """Uses a session, so that it does not expire."""
        session = self._sessions.find(request.session_id)
        result = ydb_table_pb2.KeepAliveResult
        busy = session.busy.locked()
        return result(session_status=result.SESSION_STATUS_BUSY if busy else result.SESSION_STATUS_READY)

    def delete_session(self, request: Any, call: Any) -> None:
        """Ends a session."""
        self._sessions.end(self._sessions.find(request.session_id))

    # Statements.

    def execute_data_query(self, request: Any, call: Any) -> Any:
        """Runs statements; of each SELECT come the first 1,000 rows."""
        query = self._query(request, call)
        outcome = execution.execute(self._sessions, request.session_id, request.tx_control, query)
        result = ydb_table_pb2.ExecuteQueryResult()
        for rows in outcome.rows:
            result.result_sets.append(results.result_set(rows, limits.ROWS))
        if result.ByteSize() > limits.RESULT:
            message = f"the rows have {result.ByteSize():,} bytes; at most {limits.RESULT:,}, so ask for fewer"
            raise Refused(Status.PRECONDITION_FAILED, message)
        result.tx_meta.id = outcome.transaction
        if request.query_cache_policy.keep_in_cache:
            self._fill_meta(result.query_meta, query.text)
        for warning in outcome.warnings:
            add_warning(call.issues, warning)
        return result

    def _query(self, request: Any, call: Any) -> execution.Query:
        text = request.query.yql_text
        if request.query.WhichOneof("query") == "id":
            text = self._prepared.get(request.query.id, "")
            if not text:
                raise Refused(Status.NOT_FOUND, f"Prepared query not found: {request.query.id}; prepare it again")
        return execution.Query(text, request.parameters, execution.seconds_of(request.operation_params, call), call)

    def _prepare(self, text: str) -> str:
        name = secrets.token_hex(16)
        self._prepared[name] = text
        while len(self._prepared) > PREPARED:
            self._prepared.popitem(last=False)
        return name

    def _fill_meta(self, meta: Any, text: str) -> None:
        meta.id = self._prepare(text)
        for name, kind in _declared(text):
            meta.parameters_types[name].CopyFrom(kind)

    def prepare_data_query(self, request: Any, call: Any) -> Any:
        """Keeps a text under an id."""
        self._sessions.find(request.session_id)
        types = dict(_declared(request.yql_text))
        result = ydb_table_pb2.PrepareQueryResult(query_id=self._prepare(request.yql_text))
        for name, kind in types.items():
            result.parameters_types[name].CopyFrom(kind)
        return result

    def explain_data_query(self, request: Any, call: Any) -> Any:
        """The plan of statements, which do not run."""
        with self._sessions.using(request.session_id):
            seconds = execution.seconds_of(request.operation_params, call)
            plan, text = execution.explain(self._sessions, execution.Query(request.yql_text, {}, seconds, call))
        return ydb_table_pb2.ExplainQueryResult(query_plan=plan, query_ast=text)

    def execute_scheme_query(self, request: Any, call: Any) -> None:
        """Runs statements that change the schema."""
        seconds = execution.seconds_of(request.operation_params, call)
        query = execution.Query(request.yql_text, {}, seconds, call)
        execution.execute(self._sessions, request.session_id, None, query)

    def stream_execute_scan_query(self, request: Any, call: Any) -> Iterator[Any]:
        """Runs SELECTs without a session, and streams their rows in parts."""
        text = request.query.yql_text
        query = execution.Query(text, request.parameters, execution.seconds_of(None, call), call)
        if request.mode == ydb_table_pb2.ExecuteScanQueryRequest.MODE_EXPLAIN:
            plan, ast = execution.explain(self._sessions, query)
            answer = ydb_table_pb2.ExecuteScanQueryPartialResponse(status=Status.SUCCESS)
            answer.result.query_stats.query_plan, answer.result.query_stats.query_ast = plan, ast
            yield answer
            return
        for rows in execution.scan(self._sessions, query).rows:
            for part in results.parts(rows):
                answer = ydb_table_pb2.ExecuteScanQueryPartialResponse(status=Status.SUCCESS)
                answer.result.result_set.CopyFrom(part)
                yield answer

    # Transactions.

    def begin_transaction(self, request: Any, call: Any) -> Any:
        """Opens a transaction."""
        with self._sessions.using(request.session_id) as session:
            name = execution.begin(self._sessions, session, request.tx_settings)
        result = ydb_table_pb2.BeginTransactionResult()
        result.tx_meta.id = name
        return result

    def commit_transaction(self, request: Any, call: Any) -> Any:
        """Commits a transaction."""
        with self._sessions.using(request.session_id) as session:
            self._sessions.finish(session, request.tx_id, True)
        return ydb_table_pb2.CommitTransactionResult()

    def rollback_transaction(self, request: Any, call: Any) -> None:
        """Takes a transaction back."""
        with self._sessions.using(request.session_id) as session:
            self._sessions.finish(session, request.tx_id, False)


def _declared(text: str) -> Iterator[tuple[str, Any]]:
    """The names and types of a text's DECLAREs."""
    for one in parse(text):
        if isinstance(one, Declare):
            yield f"${one.name}", type_message(named(one.kind), optional=one.kind.name == "Optional")
