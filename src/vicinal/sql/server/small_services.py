"""YDB's services of discovery, authentication and operations."""

import hmac
from typing import Any

from vicinal.errors import UsageError
from vicinal.sql.server.answers import Refused
from vicinal.sql.server.messages import Status, ydb_auth_pb2, ydb_discovery_pb2

SERVED = ("table_service", "query_service", "scheme_service", "discovery", "auth", "operation")


class DiscoveryService:
    """The methods of Ydb.Discovery.V1.DiscoveryService, each named as there, in lower case.

    host, port : where the server listens
    secure     : whether by TLS
    """

    def __init__(self, host: str, secure: bool) -> None:
        self._host, self.port, self._secure = host, 0, secure

    def list_endpoints(self, request: Any, call: Any) -> Any:
        """This server, which is the only one."""
        result = ydb_discovery_pb2.ListEndpointsResult(self_location="local")
        result.endpoints.add(
            address=self._host, port=self.port, ssl=self._secure, service=SERVED, location="local", node_id=1
        )
        return result

    def who_am_i(self, request: Any, call: Any) -> Any:
        """The one user."""
        return ydb_discovery_pb2.WhoAmIResult(user="root")


class AuthService:
    """The methods of Ydb.Auth.V1.AuthService, each named as there, in lower case."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self._tokens = tokens

    def login(self, request: Any, call: Any) -> Any:
        """A token for a user of any name whose password it is; any token where the server needs none."""
        known = [one for one in self._tokens if hmac.compare_digest(one.encode(), request.password.encode())]
        if self._tokens and not known:
            raise Refused(Status.UNAUTHORIZED, "the password is wrong; it is one of the server's tokens")
        return ydb_auth_pb2.LoginResult(token=known[0] if known else "anonymous")


class OperationService:
    """The methods of Ydb.Operation.V1.OperationService, each named as there, in lower case.

    Every request here is answered when it is done, so that no operation ever waits.
    """

    def get_operation(self, request: Any, call: Any) -> Any:
        """Raises Refused: no operation waits."""
        return _no_operation(request.id)

    def cancel_operation(self, request: Any, call: Any) -> Any:
        """Raises Refused: no operation waits."""
        return _no_operation(request.id)

    def forget_operation(self, request: Any, call: Any) -> Any:
        """Raises Refused: no operation waits."""
        return _no_operation(request.id)


def _no_operation(name: str) -> Any:
    if not name:
        raise UsageError("expected an operation's id, found none")
    raise Refused(Status.NOT_FOUND, f"Operation not found: {name}; requests here are done when they are answered")
