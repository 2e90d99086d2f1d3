"""RPCs to methods of ours: the status of each answer, tokens, and what no method answers."""

import hmac
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from vicinal.errors import VicinalError
from vicinal.sql.server.answers import fill
from vicinal.sql.server.messages import SERVICES, Status

TICKET, DATABASE = "x-ydb-auth-ticket", "x-ydb-database"
OPEN = ("/Ydb.Auth.V1.AuthService/Login",)  # what needs no token


class Call:
    """An RPC as our methods see it.

    issues : warnings for an answer that succeeds
    """

    def __init__(self, context: Any, issues: Any) -> None:
        self.context, self.issues = context, issues

    def add_callback(self, act: Callable[[], None]) -> None:
        """Calls a function when the RPC ends, in whatever way."""
        if not self.context.add_callback(act):
            act()

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline, None where it has none."""
        found: float | None = self.context.time_remaining()
        return found


class Endpoint(grpc.GenericRpcHandler):
    """All RPCs of a server.

    services : objects whose methods answer, by the names of YDB's services
    tokens   : one of which each RPC needs; none are needed where it is empty
    root     : the path of the one database
    """

    def __init__(self, services: dict[str, tuple[Any, ...]], tokens: tuple[str, ...], root: str) -> None:
        self._tokens, self._root = tokens, root
        self._handlers: dict[str, Any] = {}
        for module in SERVICES:
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    act = _method(services.get(service.name, ()), method.name)
                    if act is not None:
                        self._handlers[f"/{service.full_name}/{method.name}"] = self._handler(method, act)

    def service(self, details: Any) -> Any:
        """The handler of an RPC."""
        metadata = dict(details.invocation_metadata)
        if self._tokens and details.method not in OPEN and not self._known(metadata.get(TICKET, "")):
            remedy = "pass ydb.AccessTokenCredentials(token)"
            return _refusing(grpc.StatusCode.UNAUTHENTICATED, f"the token is missing or wrong; {remedy}")
        if details.method not in self._handlers:
            name = details.method.removeprefix("/").replace("/", ".")
            return _refusing(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not supported by this server")
        database = metadata.get(DATABASE, self._root)
        if "/" + database.strip("/") != self._root:
            return _refusing(grpc.StatusCode.NOT_FOUND, f"no database {database} here; it is {self._root}")
        return self._handlers[details.method]

    def _known(self, token: str) -> bool:
        return any(hmac.compare_digest(one.encode(), token.encode()) for one in self._tokens)

    def _handler(self, method: Any, act: Callable[[Any, Any], Any]) -> Any:
        takes, gives = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(act, gives), takes.FromString, gives.SerializeToString
            )
        return grpc.unary_unary_rpc_method_handler(_unary(act, gives), takes.FromString, gives.SerializeToString)


def _method(services: tuple[Any, ...], name: str) -> Any:
    own = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    found = [getattr(one, own) for one in services if hasattr(one, own)]
    return found[0] if found else None


def _unary(act: Callable[[Any, Any], Any], gives: Any) -> Callable[[Any, Any], Any]:
    """A method that gives a result, which becomes an answer with SUCCESS."""
    operations = "operation" in gives.DESCRIPTOR.fields_by_name

    def answer(request: Any, context: Any) -> Any:
        made = gives()
        target = made.operation if operations else made
        try:
            result = act(request, Call(context, target.issues))
        except Exception as error:
            return fill(gives(), _reported(error))
        target.status = Status.SUCCESS
        if not operations:
            result.status = Status.SUCCESS
            result.issues.extend(target.issues)
            return result
        target.ready = True
        if result is not None:
            target.result.Pack(result)
        return made

    return answer


def _streaming(act: Callable[[Any, Any], Iterator[Any]], gives: Any) -> Callable[[Any, Any], Iterator[Any]]:
    """A method that gives answers, the last of which says what went wrong, if anything."""

    def answer(request: Any, context: Any) -> Iterator[Any]:
        try:
            yield from act(request, Call(context, None))
        except Exception as error:
            yield fill(gives(), _reported(error))

    return answer


def _reported(error: Exception) -> Exception:
    """The error; one that nobody expected is printed."""
    if not isinstance(error, VicinalError):
        print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)
        return RuntimeError(f"internal error: {type(error).__name__}: {error}")
    return error


def _refusing(status: Any, message: str) -> Any:
    def refuse(_: Any, context: Any) -> Iterator[Any]:
        context.abort(status, message)
        yield b""

    return grpc.stream_stream_rpc_method_handler(refuse)
