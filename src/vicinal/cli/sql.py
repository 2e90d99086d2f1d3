"""Run YQL on an embedded database: exact nearest neighbours in SQL.

  vicinal sql facts.db "SELECT * FROM Facts LIMIT 10"
  vicinal sql facts.db -f script.yql
  vicinal sql facts.db                                        a prompt with history; .help shows its commands
  vicinal sql import emb.npy --data data.jsonl --table Facts --db facts.db
  vicinal sql export emb.npy --table Facts --db facts.db      or facts.parquet, which keeps every column
  vicinal sql --to ydb -f script.yql                          print the statements as a YDB cluster takes them
  vicinal sql --url grpc://host:port/database "SELECT 1"      run the statements on a YDB cluster
  vicinal sql serve facts.db --port 2136                      let YDB's clients connect to the database

Statements are those of the pages on Knn and vector indexes in YDB's documentation; docs/sql.md lists them. CREATE TABLE
and import make the database's file where it does not exist; no other statement does.
"""

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.cli import screen
from vicinal.cli.console import Console
from vicinal.cli.options import add_encoding

if TYPE_CHECKING:
    from vicinal.sql import Database, Remote

ARGUMENTS = {
    "words": ("vicinal.sql.Database.execute", "yql"),
    "file": ("vicinal.sql.Database.execute", "yql"),
    "param": ("vicinal.sql.Database.execute", "parameters"),
    "read_only": ("vicinal.sql.connect", "read_only"),
    "to": ("vicinal.sql.to_ydb", "text"),
    "url": ("vicinal.sql.Remote", "url"),
    "db": ("vicinal.sql.connect", "path"),
    "table": ("vicinal.sql.import_table", "table"),
    "data": ("vicinal.sql.import_table", "data"),
    "key": ("vicinal.sql.import_table", "key"),
    "column": ("vicinal.sql.import_table", "column"),
    "vector_type": ("vicinal.sql.import_table", "vector_type"),
    "encoding": ("vicinal.sql.import_table", "encoding"),
    "overwrite": ("vicinal.sql.export_table", "overwrite"),
    "if_exists": ("vicinal.sql.import_table", "if_exists"),
    "host": ("vicinal.sql.serve", "host"),
    "port": ("vicinal.sql.serve", "port"),
    "token_file": ("vicinal.sql.serve", "token_file"),
    "tls": ("vicinal.sql.serve", "tls"),
    "session_timeout": ("vicinal.sql.serve", "session_timeout"),
    "transaction_timeout": ("vicinal.sql.serve", "transaction_timeout"),
}
PRINTED = ("format",)
DATABASE = "vicinal.db"
FORMATS = ("table", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal sql`."""
    parser.add_argument(
        "words", metavar="WORD", nargs="*", help="a database file and a statement; or import FILE, export FILE"
    )
    parser.add_argument("-f", "--file", metavar="FILE", help="a file of statements")
    parser.add_argument(
        "-p",
        "--param",
        metavar="NAME=JSON",
        action="append",
        default=[],
        help="a value for $NAME, as JSON; a list of numbers is a vector",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="how rows are printed (default table)")
    parser.add_argument("--read-only", action="store_true", help="refuse every change")
    parser.add_argument("--to", choices=("ydb",), help="print the statements for a YDB cluster and run nothing")
    parser.add_argument("--url", metavar="URL", help="run on YDB: grpc://host:port/database")
    moving = parser.add_argument_group("import and export")
    moving.add_argument("--db", metavar="FILE", default=DATABASE, help=f"the database (default {DATABASE})")
    moving.add_argument("--table", metavar="NAME", help="the table")
    moving.add_argument("--data", metavar="FILE", help="beside vectors alone: the data set with the other columns")
    moving.add_argument("--key", metavar="COLUMN", default="id", help="the primary key of a new table (default id)")
    moving.add_argument(
        "--column", metavar="COLUMN", default="embedding", help="the column of vectors (default embedding)"
    )
    moving.add_argument(
        "--vector-type",
        metavar="TYPE",
        default="",
        help="Float, Float16, BFloat16, Uint8, Int8 or Bit (default: Uint8 or Int8 where the elements are, else Float)",
    )
    add_encoding(moving)
    moving.add_argument(
        "--if-exists",
        choices=("append", "replace", "upsert"),
        default="",
        help="where the table has rows: number new rows after them, delete them first, or change those of equal key",
    )
    moving.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    _add_serving(parser.add_argument_group("serve"))
    _mix(parser)


def _add_serving(group: Any) -> None:
    group.add_argument("--host", metavar="NAME", default="localhost", help="the address (default localhost)")
    group.add_argument("--port", metavar="N", type=int, default=2136, help="0 for any that is free (default 2136)")
    group.add_argument(
        "--token-file", metavar="FILE", help="tokens, one a line, one of which clients pass; needed beyond localhost"
    )
    group.add_argument("--tls", metavar=("CERT", "KEY"), nargs=2, help="files of a certificate and its key, in PEM")
    group.add_argument(
        "--session-timeout", metavar="SECONDS", type=float, default=300.0, help="end idle sessions (default 300)"
    )
    group.add_argument(
        "--transaction-timeout", metavar="SECONDS", type=float, default=60.0, help="end idle transactions (default 60)"
    )


def _mix(parser: argparse.ArgumentParser) -> None:
    """Lets options stand between the words, which argparse does not by itself."""
    plain = parser.parse_known_args

    def mixed(args: Any = None, namespace: Any = None) -> Any:
        setattr(parser, "parse_known_args", plain)  # noqa: B010
        try:
            return parser.parse_known_intermixed_args(args, namespace)
        finally:
            setattr(parser, "parse_known_args", mixed)  # noqa: B010

    setattr(parser, "parse_known_args", mixed)  # noqa: B010


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Import, export, serve, translate, run, or prompt."""
    from vicinal.errors import UsageError

    words = arguments.words
    if words and words[0] in ("import", "export"):
        return _move(arguments, console)
    if words and words[0] == "serve":
        return _serve(arguments, console)
    embedded = arguments.to is None and arguments.url is None
    if embedded and not words:
        raise UsageError("expected a database, found none; write vicinal sql facts.db")
    rest = words[1:] if embedded else words
    if len(rest) > 1 or (rest and arguments.file):
        raise UsageError(f"expected one statement, found {rest}; write it in quotes, or give -f FILE alone")
    text = _text(arguments.file) if arguments.file else rest[0] if rest else None
    if arguments.to:
        from vicinal.sql import to_ydb

        with _named(arguments.file):
            print(to_ydb(sys.stdin.read() if text is None else text).rstrip("\n"))
        return 0
    parameters = dict(_parameter(one) for one in arguments.param)
    with _target(arguments) as target:
        if text is None and sys.stdin.isatty():
            from vicinal.cli import prompt

            return prompt.talk(target, arguments.url or words[0], parameters, arguments.format)
        with _named(arguments.file):
            _run(target, sys.stdin.read() if text is None else text, parameters, arguments.format)
    return 0


def _run(target: "Database | Remote", text: str, parameters: dict[str, Any], form: str) -> None:
    """Runs statements, with the prompt's commands among them where there are any, and prints their rows."""
    from vicinal.cli import prompt
    from vicinal.sql.io.printing import printed

    pieces = list(prompt.parts(text))
    if not any(piece.startswith(".") for piece in pieces):
        pieces = [text]  # lines and columns of errors are those of the text
    names: dict[str, Any] = {}
    seen = screen.stdout()
    for piece in pieces:
        if piece.startswith("."):
            if not prompt.command(target, piece):
                return
            continue
        seen.show(printed(target.run(piece, parameters, names), form, seen.width, seen.colour))


def _target(arguments: argparse.Namespace) -> "Database | Remote":
    from vicinal.sql import Database, Remote

    return Remote(arguments.url) if arguments.url else Database(arguments.words[0], arguments.read_only)


@contextlib.contextmanager
def _named(file: str | None) -> Iterator[None]:
    """Puts the file's name before an error in it."""
    from vicinal.sql import SqlError

    try:
        yield
    except SqlError as error:
        if not file:
            raise
        raise SqlError(f"{file}:{error}") from None


def _text(file: str) -> str:
    from vicinal.errors import UsageError

    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); convert the file") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


def _parameter(written: str) -> tuple[str, Any]:
    from vicinal.errors import UsageError

    name, equals, value = written.partition("=")
    if not equals:
        raise UsageError(f"--param {written}: expected NAME=JSON")
    try:
        return "$" + name.strip().removeprefix("$"), json.loads(value)
    except ValueError as error:
        raise UsageError(f'--param {written}: not JSON ({error}); write a string as "..."') from None


def _move(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.errors import UsageError
    from vicinal.sql import Database, export_table, import_table

    verb, *paths = arguments.words
    if len(paths) != 1 or not arguments.table:
        raise UsageError(f"expected vicinal sql {verb} FILE --table NAME --db FILE")
    if arguments.url or arguments.to or arguments.file:
        raise UsageError(f"{verb} works on an embedded database alone; leave out --url, --to and -f")
    path, table = paths[0], arguments.table
    if arguments.db == ":memory:":
        raise UsageError(f"--db :memory: ends with this command, so {verb} would keep nothing; name a file, facts.db")
    with (
        Database(arguments.db, arguments.read_only or verb == "export") as database,
        console.progress() as bar,
    ):
        progress = bar and bar(f"{verb} {Path(path).name}")
        if verb == "import":
            given = arguments.data, arguments.key, arguments.column, arguments.vector_type
            count = import_table(database, table, path, *given, progress, arguments.encoding, arguments.if_exists)
        else:
            count = export_table(database, table, path, arguments.data, arguments.column, arguments.overwrite, progress)
    console.note(f"{count:,} rows: {path} {'->' if verb == 'import' else '<-'} {table} in {arguments.db}")
    return 0


def _serve(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.errors import UsageError
    from vicinal.sql import serve

    paths = arguments.words[1:]
    if len(paths) != 1:
        raise UsageError(f"expected one database to serve, found {paths}; write vicinal sql serve facts.db")
    if arguments.url or arguments.to or arguments.file or arguments.param:
        raise UsageError("serve runs the statements of clients alone; leave out --url, --to, -f and -p")
    tls = tuple(arguments.tls) if arguments.tls else None
    given = arguments.host, arguments.port, arguments.token_file, tls, arguments.read_only, None
    with serve(paths[0], *given, arguments.session_timeout, arguments.transaction_timeout) as server:
        with contextlib.suppress(ValueError):  # outside the main thread
            signal.signal(signal.SIGTERM, _terminated)
        console.note(f"{paths[0]}: {server.url}; Ctrl-C ends it")
        server.wait()
    return 0


def _terminated(number: int, frame: Any) -> None:
    """Ends the server as Ctrl-C does, so that its file is closed."""
    raise SystemExit(128 + number)
