"""The prompt of `vicinal sql`: statements end with a semicolon, and the history is kept between runs."""

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELP = """Statements end with ; and may have several lines. $names stay until the prompt ends.
.tables     list the tables
.schema T   list the columns and indexes of table T
.help       show this help
.quit       end the prompt, as Ctrl-D does"""
MOST_LINES = 1000


def history_file() -> Path:
    """The file of the history, in XDG_STATE_HOME or ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "vicinal" / "sql_history"


def _remember() -> None:
    """Reads the history, and writes it at the end, where Python has readline."""
    try:
        import readline
    except ImportError:  # Windows, and Pythons built without it
        return
    path = history_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            readline.read_history_file(path)
        readline.set_history_length(MOST_LINES)

    def keep() -> None:
        with contextlib.suppress(OSError):
            readline.write_history_file(path)

    atexit.register(keep)


def talk(target: Any, name: str, parameters: dict[str, Any], form: str) -> int:
    """Reads statements and runs them until the input ends.

    target     : a Database or a Remote
    name       : what to call it
    parameters : the values of `$name`s
    form       : "table" or "json"
    """
    from vicinal.cli import screen
    from vicinal.errors import VicinalError
    from vicinal.sql.io.printing import printed
    from vicinal.sql.parse.lexer import complete

    _remember()
    names: dict[str, Any] = {}
    pending = ""
    print(f"{name}: YQL; .help shows the commands", file=sys.stderr)
    while True:
        try:
            line = input("... " if pending else "yql> ")
        except EOFError:
            print(file=sys.stderr)
            return 0
        except KeyboardInterrupt:
            pending = ""
            print(file=sys.stderr)
            continue
        if not pending and line.strip().startswith("."):
            if not command(target, line.strip()):
                return 0
            continue
        pending = f"{pending}\n{line}" if pending else line
        if not pending.strip():
            pending = ""
        elif complete(pending):
            text, pending = pending, ""
            try:
                seen = screen.stdout()  # anew, as a window changes its size
                seen.show(printed(target.run(text, parameters, names), form, seen.width, seen.colour))
            except VicinalError as error:
                print(f"error: {error}", file=sys.stderr)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)


def command(target: Any, line: str) -> bool:
    """Runs a line that begins with a dot; False ends the prompt."""
    word, _, rest = line.partition(" ")
    if word in (".quit", ".exit"):
        return False
    tables = target.tables() if hasattr(target, "tables") else None
    if word not in (".tables", ".schema") or (word == ".schema" and not rest.strip()):
        print(HELP)
    elif tables is None:
        print(f"{word} works on an embedded database alone; a cluster has its own tools")
    elif not tables:
        print("there are no tables; CREATE TABLE makes one")
    elif word == ".tables":
        print("\n".join(sorted(tables)))
    else:
        print(_schema(tables, rest.strip()))
    return True


def parts(text: str) -> Iterator[str]:
    """A text's commands, which are lines that begin with a dot between statements, and the statements between them.

    >>> list(parts(".tables\\nSELECT 1;\\n.schema T\\n"))
    ['.tables', 'SELECT 1;\\n', '.schema T']
    """
    from vicinal.sql.parse.lexer import complete

    pending = ""
    for line in text.splitlines(keepends=True):
        if line.startswith(".") and (not pending.strip() or complete(pending)):
            if pending.strip():
                yield pending
            yield line.strip()
            pending = ""
        else:
            pending += line
    if pending.strip():
        yield pending


def _schema(tables: dict[str, Any], name: str) -> str:
    """A table's columns and indexes, a line each."""
    from vicinal.errors import unknown

    if name not in tables:
        return unknown("table", name, tables)
    table = tables[name]
    columns = [
        f"{one.name} {one.kind}{'  PRIMARY KEY' if one.name in table.key else ''}" for one in table.columns.values()
    ]
    return "\n".join([*columns, *(f"INDEX {one.name} ON ({', '.join(one.columns)})" for one in table.indexes.values())])
