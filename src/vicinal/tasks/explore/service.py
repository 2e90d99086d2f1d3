"""The server of the page: Starlette's routes under a token, in a thread of its own."""

import hmac
import json
import socket
import threading
from typing import Any, Self

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vicinal.errors import UsageError, VicinalError
from vicinal.tasks.explore.marking import MarksFile
from vicinal.tasks.explore.search import Search

LONGEST_TEXT, LONGEST_BODY = 20_000, 1 << 17
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Explorer:
    """A running server of a page: a context manager that stops at the end.

    Attributes
    ----------
    url : str
        The page's address, with the token.
    port : int
    """

    def __init__(
        self, page: bytes, search: Search, marks: MarksFile, host: str, port: int, token: str, loopback: bool
    ) -> None:
        import uvicorn

        self._socket = _listening(host, port)
        self.port = int(self._socket.getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}/{token}/"
        app = _application(page, search, marks, token)
        names = {f"{name}:{self.port}" for name in ("localhost", "127.0.0.1", "[::1]", shown)}
        guarded = _Guarded(app, names if loopback else None)
        config = uvicorn.Config(guarded, log_level="warning", access_log=False, lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Serve until `stop` is called or the user interrupts."""
        while self._thread.is_alive():
            self._thread.join(0.2)

    def stop(self) -> None:
        """Stop serving; the marks are in their file."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Explorer(url={self.url!r})"


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"host: {host} is no address of this machine ({error.strerror or error})") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port: {host}:{port} cannot be listened at ({error.strerror or error}); take another, or 0 for any"
        ) from None
    return listener


class _Guarded:
    """An application that answers only requests for its own address, and whose answers are kept nowhere.

    A page of another site that leads its name to this machine sends its own name as the host.
    """

    def __init__(self, app: ASGIApp, hosts: set[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive) if scope["type"] == "http" else None
        if request is None:
            return
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        own = self._hosts is None or host in self._hosts
        if not own or (origin is not None and origin != f"http://{host}"):
            await PlainTextResponse("another host or origin", 403, HEADERS)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _application(page: bytes, search: Search, marks: MarksFile, token: str) -> Starlette:
    """The routes under the token: the page, the search, and the marks."""

    def is_known(request: Request) -> bool:
        return hmac.compare_digest(str(request.path_params["token"]).encode(), token.encode())

    async def shown(request: Request) -> Response:
        return Response(page, media_type="text/html", headers=HEADERS) if is_known(request) else _nothing()

    async def found(request: Request) -> Response:
        if not is_known(request):
            return _nothing()
        text = (await _body(request)).get("text")
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_TEXT:
            raise UsageError(f"text: expected a text of 1 to {LONGEST_TEXT:,} letters")
        pairs = await run_in_threadpool(search.nearest, text)
        return JSONResponse([{"row": row, "distance": distance} for row, distance in pairs], headers=HEADERS)

    async def marked(request: Request) -> Response:
        if not is_known(request):
            return _nothing()
        if request.method == "GET":
            return JSONResponse({"path": str(marks.path), "marks": marks.all()}, headers=HEADERS)
        body = await _body(request)
        own = await run_in_threadpool(marks.add, body.pop("row", None), body)
        return JSONResponse(own, headers=HEADERS)

    async def refused(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 400, HEADERS)

    routes = [
        Route("/{token}/", shown),
        Route("/{token}/search", found, methods=["POST"]),
        Route("/{token}/marks", marked, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={VicinalError: refused})


def _nothing() -> Response:
    return PlainTextResponse("not found", 404, HEADERS)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; forms of other sites cannot send one."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise UsageError("expected application/json")
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > LONGEST_BODY:
            raise UsageError(f"expected at most {LONGEST_BODY:,} bytes")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise UsageError("expected a JSON object") from None
    if not isinstance(body, dict):
        raise UsageError("expected a JSON object")
    return body
