"""The prompt of `vicinal sql`: statements end with a semicolon, lines are kept between runs."""

import atexit
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

HELP = """Statements end with ; and may run over several lines. $names stay until the prompt ends.
.tables     the tables
.schema T   a table's columns
.help       this
.quit       end, as Ctrl-D does"""
KEPT = 1000


def history_file() -> Path:
    """Where the lines are kept: XDG_STATE_HOME or ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "vicinal" / "sql_history"


def _remember() -> None:
    try:
        import readline
    except ImportError:  # Windows, and Pythons built without it
        return
    path = history_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            readline.read_history_file(path)
        readline.set_history_length(KEPT)

    def keep() -> None:
        with contextlib.suppress(OSError):
            readline.write_history_file(path)

    atexit.register(keep)


def talk(target: Any, name: str, parameters: dict[str, Any], form: str) -> int:
    """Reads statements and runs them until the input ends."""
    from vicinal.errors import VicinalError
    from vicinal.sql.parse.lexer import complete

    _remember()
    names: dict[str, Any] = {}
    pending = ""
    print(f"{name}: YQL; .help tells more", file=sys.stderr)
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
            if not _command(target, line.strip()):
                return 0
            continue
        pending = f"{pending}\n{line}" if pending else line
        if not pending.strip():
            pending = ""
        elif complete(pending):
            text, pending = pending, ""
            try:
                _run(target, text, parameters, names, form)
            except VicinalError as error:
                print(f"error: {error}", file=sys.stderr)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)


def _run(target: Any, text: str, parameters: dict[str, Any], names: dict[str, Any], form: str) -> None:
    from vicinal.sql.io.printing import printed

    for line in printed(target.run(text, parameters, names), form):
        print(line)


def _command(target: Any, line: str) -> bool:
    """Runs a line that begins with a dot; False ends the prompt."""
    from vicinal.errors import unknown

    word, _, rest = line.partition(" ")
    tables = target.tables() if hasattr(target, "tables") else {}
    if word in (".quit", ".exit"):
        return False
    if word == ".tables":
        print("\n".join(sorted(tables)))
    elif word == ".schema" and rest.strip() in tables:
        table = tables[rest.strip()]
        for column in table.columns.values():
            key = "  PRIMARY KEY" if column.name in table.key else ""
            print(f"{column.name} {column.kind}{key}")
        for index in table.indexes.values():
            print(f"INDEX {index.name} ON ({', '.join(index.columns)})")
    elif word == ".schema" and rest.strip() and tables:
        print(unknown("table", rest.strip(), tables))
    else:
        print(HELP)
    return True
