"""YDB's scheme service: the tables of the database by their paths."""

from typing import Any

from vicinal.sql.server import execution
from vicinal.sql.server.answers import Refused
from vicinal.sql.server.messages import Status, ydb_scheme_pb2
from vicinal.sql.server.paths import Directories, name_of, parents
from vicinal.sql.server.sessions import Sessions

_Entry = ydb_scheme_pb2.Entry


class SchemeService:
    """The methods of Ydb.Scheme.V1.SchemeService, each named as there, in lower case."""

    def __init__(self, sessions: Sessions, root: str) -> None:
        self._sessions, self._root = sessions, root

    def _contents(self) -> tuple[set[str], set[str]]:
        """The tables and the directories."""
        with execution.borrowed(self._sessions) as connection:
            tables = set(connection.tables())
            made = Directories(connection).names()
        return tables, made | parents(tables | made)

    def _entry(self, entry: Any, name: str) -> Any:
        """Fills an entry about what a name stands for; the sets of tables and directories."""
        tables, directories = self._contents()
        if name and name not in tables and name not in directories:
            raise Refused(Status.SCHEME_ERROR, f"Path not found: {self._root}/{name}")
        kind = _Entry.TABLE if name in tables else _Entry.DIRECTORY if name else _Entry.DATABASE
        shown = name.rpartition("/")[2] or self._root.removeprefix("/")
        entry.name, entry.owner, entry.type = shown, "root", kind
        return tables, directories

    def describe_path(self, request: Any, call: Any) -> Any:
        """What lies at a path."""
        result = ydb_scheme_pb2.DescribePathResult()
        self._entry(result.self, name_of(request.path, self._root))
        return result

    def list_directory(self, request: Any, call: Any) -> Any:
        """What lies in a directory, in the order of names."""
        result = ydb_scheme_pb2.ListDirectoryResult()
        name = name_of(request.path, self._root)
        tables, directories = self._entry(result.self, name)
        if result.self.type == _Entry.TABLE:
            return result
        within = f"{name}/" if name else ""
        for one in sorted(tables | directories):
            inside = one.removeprefix(within)
            if one.startswith(within) and inside and "/" not in inside:
                kind = _Entry.TABLE if one in tables else _Entry.DIRECTORY
                result.children.add(name=inside, owner="root", type=kind)
        return result

    def make_directory(self, request: Any, call: Any) -> None:
        """Makes a directory and those around it."""
        name = name_of(request.path, self._root)
        tables, directories = self._contents()
        if name in tables:
            raise Refused(Status.SCHEME_ERROR, f"{self._root}/{name} is a table; name another directory")
        if name and name not in directories:
            with execution.writable(self._sessions) as connection:
                Directories(connection).make(name)

    def remove_directory(self, request: Any, call: Any) -> None:
        """Removes a directory that is empty."""
        name = name_of(request.path, self._root)
        tables, directories = self._contents()
        if name not in directories:
            raise Refused(Status.SCHEME_ERROR, f"Path not found: {self._root}/{name}; or it is no directory")
        if any(one.startswith(f"{name}/") for one in tables | directories):
            raise Refused(Status.PRECONDITION_FAILED, f"{self._root}/{name} is not empty; drop what lies in it first")
        with execution.writable(self._sessions) as connection:
            Directories(connection).remove(name)
