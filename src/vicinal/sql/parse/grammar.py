"""YQL's statements, parsed: expressions and SELECT by `query_grammar`, the statements around them here."""

from typing import Any

from vicinal.sql.faults import REMEDIES, SqlError, fault, place
from vicinal.sql.parse.dialect import YQL, ParseError, TokenType
from vicinal.sql.parse.lexer import tokenize
from vicinal.sql.parse.query_grammar import QueryParser
from vicinal.sql.parse.statements import (
    FULLTEXT,
    VECTOR,
    AddColumn,
    AddIndex,
    ColumnDefinition,
    CreateTable,
    Declare,
    Delete,
    DropColumn,
    DropIndex,
    DropTable,
    Name,
    Named,
    Pragma,
    Query,
    RenameIndex,
    ShowCreate,
    Statement,
    Transaction,
    Update,
    Write,
)

# What WITH (...) of CREATE TABLE may set: it says how YDB spreads a table over machines, and changes nothing here.
PARTITIONING = (
    *("AUTO_PARTITIONING_BY_SIZE", "AUTO_PARTITIONING_BY_LOAD", "AUTO_PARTITIONING_PARTITION_SIZE_MB"),
    *("AUTO_PARTITIONING_MIN_PARTITIONS_COUNT", "AUTO_PARTITIONING_MAX_PARTITIONS_COUNT", "UNIFORM_PARTITIONS"),
    *("KEY_BLOOM_FILTER", "READ_REPLICAS_SETTINGS"),
)


class _Parser(QueryParser):
    def statement(self) -> Statement:
        first = self._curr
        if self._match(TokenType.PARAMETER):
            name = self._prev.text
            if self._curr.token_type == TokenType.COMMA:
                self.outside("several names at once", remedy="write $a = ...; $b = ...;")
            self.expect(TokenType.EQ, "= after the name")
            return Named(name, self._value())
        verb = first.text.upper()
        reader = _STATEMENTS.get(verb)
        if reader is not None and first.token_type != TokenType.IDENTIFIER:
            self._advance()
            return reader(self)
        if verb in ("SELECT", "(", "FROM"):
            select = self._parse_select()
            if select is not None:
                return Query(self._parse_query_modifiers(self._parse_set_operations(select)))
        self.outside(verb, first, _VERBS.get(verb, ""))

    def declare(self) -> Statement:
        self.expect(TokenType.PARAMETER, "a $name")
        name = self._prev.text
        self.expect(TokenType.ALIAS, "AS")
        return Declare(name, self.type_name())

    def pragma(self) -> Statement:
        name = self.name("a pragma's name").text
        while self._match(TokenType.DOT):
            name += "." + self.name("a pragma's name").text
        enclosed = bool(self._match(TokenType.L_PAREN))
        if not enclosed and not self._match(TokenType.EQ):
            return Pragma(name, None)
        if self._curr.token_type not in (TokenType.STRING, TokenType.NUMBER, TokenType.VAR):
            self.raise_error("expected a pragma's value")
        self._advance()
        value = self._prev.text.strip("\"'")
        if enclosed:
            self.expect(TokenType.R_PAREN, ")")
        return Pragma(name, value)

    def create(self) -> Statement:
        if not self._match(TokenType.TABLE):
            self.name("TABLE")
            self.outside(f"CREATE {self._prev.text.upper()}", self._prev)
        exists = self.words("IF", "NOT", "EXISTS")
        table = self.name("a table's name")
        self.expect(TokenType.L_PAREN, "(")
        columns, key, indexes = [], [], []
        while self._curr.token_type != TokenType.R_PAREN:
            if self._match(TokenType.PRIMARY_KEY):
                key += self.names("a column of the primary key")
            elif self._curr.text.upper() == "INDEX" and self._third() in _NAMES:
                self._advance()
                indexes.append(self.index(table))
            else:
                if self._curr.text.upper() in ("FAMILY", "CHANGEFEED") and self._third() in _NAMES:
                    self.outside(f"{self._curr.text.upper()} in CREATE TABLE", remedy="leave it out")
                columns.append(self.column())
            if not self._match(TokenType.COMMA):
                break
        if self._curr.token_type not in (TokenType.R_PAREN, TokenType.SENTINEL) and self._curr.text[:1].isalpha():
            self._refuse(self._curr)
        self.expect(TokenType.R_PAREN, ", or )")
        if self._curr.token_type == TokenType.WITH:
            self._partitioning()
        return CreateTable(table, columns, key, exists, indexes)

    def column(self) -> ColumnDefinition:
        """A column's name, its type, and whether it takes NULL."""
        name = self.name("a column's name")
        kind = self.type_name()
        required = self.words("NOT", "NULL")
        if not required:
            self.words("NULL")
        return ColumnDefinition(name, kind, required)

    def _partitioning(self) -> None:
        """Passes the settings of CREATE TABLE about its parts, which a table of one part has no use for."""
        self._match(TokenType.WITH)
        self.expect(TokenType.L_PAREN, "(")
        while True:
            name = self.name("a setting")
            if name.text.upper() not in PARTITIONING:
                self.outside(f"{name.text.upper()} in WITH (...) of CREATE TABLE", self._prev, "leave it out")
            self.expect(TokenType.EQ, "= after the setting")
            self._advance()
            if not self._match(TokenType.COMMA):
                break
        self.expect(TokenType.R_PAREN, ", or )")

    def _third(self) -> Any:
        """The kind of the token after the next."""
        at = self._index + 2
        return self._tokens[at].token_type if at < self._tokens_size else None

    def drop(self) -> Statement:
        if not self._match(TokenType.TABLE):
            self.name("TABLE")
            self.outside(f"DROP {self._prev.text.upper()}", self._prev)
        exists = self.words("IF", "EXISTS")
        return DropTable(self.name("a table's name"), exists)

    def alter(self) -> Statement:
        if not self._match(TokenType.TABLE):
            self.name("TABLE")
            self.outside(f"ALTER {self._prev.text.upper()}", self._prev)
        table = self.name("a table's name")
        if self.words("DROP", "INDEX"):
            return DropIndex(table, self.name("an index's name"))
        if self.words("ADD", "COLUMN"):
            return AddColumn(table, self.column())
        if self.words("DROP", "COLUMN"):
            return DropColumn(table, self.name("a column's name"))
        if self.words("RENAME", "INDEX"):
            index = self.name("an index's name")
            if not self.words("TO"):
                self.raise_error("expected TO and the new name")
            return RenameIndex(table, index, self.name("the new name"))
        if not self.words("ADD", "INDEX"):
            self.name("ADD INDEX, RENAME INDEX or DROP INDEX")
            self.outside(f"ALTER TABLE {self._prev.text.upper()}", self._prev)
        return self.index(table)

    def index(self, table: Name) -> AddIndex:
        start = self._curr.start
        index = self.name("an index's name")
        if self.words("LOCAL"):
            self.outside("a local index", remedy="write GLOBAL")
        if not self.words("GLOBAL"):
            self.raise_error("expected GLOBAL")
        if self._curr.text.upper() == "UNIQUE":
            self.outside("a unique index", remedy="leave UNIQUE out, and make the column the primary key")
        kind = "secondary"
        if not self.words("SYNC"):
            self.words("ASYNC")
        if self._match(TokenType.USING):
            kind = self.name("the index's type").text.lower()
            if kind not in (VECTOR, *FULLTEXT):
                self.outside(f"an index of type {kind}", self._prev, f"write {VECTOR} or {' or '.join(FULLTEXT)}")
        self.expect(TokenType.ON, "ON")
        columns = self.names("a column")
        cover = self.names("a column") if self.words("COVER") else []
        found = AddIndex(table, index, columns, cover, self._settings(), kind, start=start)
        if kind == "secondary" and found.settings:
            self.outside("WITH (...) of a secondary index", remedy="leave it out")
        return found

    def _settings(self) -> dict[str, tuple[str, int]]:
        """`WITH (name = value, ...)`: each value and where its name stands."""
        settings: dict[str, tuple[str, int]] = {}
        if not self._match(TokenType.WITH):
            return settings
        self.expect(TokenType.L_PAREN, "(")
        while self._curr.token_type != TokenType.R_PAREN:
            setting = self.name("a setting")
            self.expect(TokenType.EQ, "=")
            kinds = (TokenType.STRING, TokenType.NUMBER, TokenType.VAR, TokenType.TRUE, TokenType.FALSE)
            if self._curr.token_type not in kinds:
                self.raise_error(f"expected the value of {setting.text}")
            settings[setting.text] = (self._curr.text.strip("\"'"), setting.start)
            self._advance()
            if not self._match(TokenType.COMMA):
                break
        self.expect(TokenType.R_PAREN, ")")
        return settings

    def show(self) -> Statement:
        if not self.words("CREATE"):
            self.name("CREATE TABLE")
            self.outside(f"SHOW {self._prev.text.upper()}", self._prev, "write SHOW CREATE TABLE t, or .tables")
        if not self._match(TokenType.TABLE):
            self.name("TABLE")
            self.outside(f"SHOW CREATE {self._prev.text.upper()}", self._prev, "write SHOW CREATE TABLE t")
        return ShowCreate(self.name("a table's name"))

    def write(self) -> Statement:
        verb = self._prev.text.upper()
        self.expect(TokenType.INTO, f"INTO after {verb}")
        table = self.name("a table's name")
        columns = self.names("a column") if self._curr.token_type == TokenType.L_PAREN else []
        rows: list[list[Any]] = []
        query = None
        if self._match(TokenType.VALUES):
            rows.append(self.row())
            while self._match(TokenType.COMMA):
                rows.append(self.row())
        elif self._curr.token_type in (TokenType.SELECT, TokenType.PARAMETER, TokenType.L_PAREN):
            if self._curr.token_type == TokenType.PARAMETER:
                self.outside(f"{verb} from a named expression", remedy=f"write SELECT * FROM ${self._curr.text}")
            query = self._parse_query_modifiers(self._parse_set_operations(self._parse_select()))
        else:
            self.raise_error("expected VALUES or SELECT")
        return Write(verb, table, columns, rows, query)

    def row(self) -> list[Any]:
        self.expect(TokenType.L_PAREN, "(")
        values: list[Any] = self._parse_csv(self._parse_disjunction)
        if not values:
            self.raise_error("Required")
        self.expect(TokenType.R_PAREN, ")")
        return values

    def update(self) -> Statement:
        table = self.name("a table's name")
        self.refuse_on("UPDATE")
        self.expect(TokenType.SET, "SET")
        changes = []
        while True:
            name = self.name("a column")
            self.expect(TokenType.EQ, "=")
            changes.append((name, self._needed(self._parse_disjunction)))
            if not self._match(TokenType.COMMA):
                break
        return Update(table, changes, self.where())

    def delete(self) -> Statement:
        self.expect(TokenType.FROM, "FROM")
        table = self.name("a table's name")
        self.refuse_on("DELETE FROM")
        return Delete(table, self.where())

    def refuse_on(self, verb: str) -> None:
        """Refuses rows that a SELECT or VALUES names."""
        if self._curr.token_type == TokenType.ON:
            self.outside(f"{verb} ... ON", remedy="name the rows in WHERE: key IN (SELECT ...)")

    def where(self) -> Any:
        return self._needed(self._parse_disjunction) if self._match(TokenType.WHERE) else None

    def transaction(self) -> Statement:
        verb = self._prev.text.upper()
        self.words("TRANSACTION")
        return Transaction(verb)

    def read(self, tokens: list[Any], text: str) -> Statement:
        """One statement."""
        self.reset()
        self.sql = text
        self._tokens = tokens
        self._tokens_size = len(tokens)
        self._index = -1
        self._advance()
        found = self.statement()
        if self._index < self._tokens_size:
            self.leftover()
        found.start, found.end = tokens[0].start, tokens[-1].end + 1
        return found


# What to write instead of a statement.
_VERBS = {
    "WITH": REMEDIES["WITH"],
    "EXPLAIN": "run the SELECT itself",
    "DESCRIBE": "write SHOW CREATE TABLE t, or .schema t",
    "MERGE": "write UPSERT",
    "TRUNCATE": "write DELETE FROM table",
    "VALUES": "write SELECT",
    "USE": REMEDIES["USE"],
}
_NAMES = (TokenType.VAR, TokenType.IDENTIFIER)
_STATEMENTS = {
    "DECLARE": _Parser.declare,
    "PRAGMA": _Parser.pragma,
    "CREATE": _Parser.create,
    "DROP": _Parser.drop,
    "ALTER": _Parser.alter,
    "INSERT": _Parser.write,
    "UPSERT": _Parser.write,
    "REPLACE": _Parser.write,
    "UPDATE": _Parser.update,
    "DELETE": _Parser.delete,
    "BEGIN": _Parser.transaction,
    "COMMIT": _Parser.transaction,
    "ROLLBACK": _Parser.transaction,
    "SHOW": _Parser.show,
}


def parse(text: str) -> tuple[Statement, ...]:
    """The statements of a text; nothing changes them afterwards.

    Raises    SqlError with line and column.
    >>> [type(one).__name__ for one in parse("$k = 3; SELECT 1; // done")]
    ['Named', 'Query']
    """
    statements = tokenize(text)
    parser = _Parser(dialect=YQL)
    found = []
    for tokens in statements:
        try:
            found.append(parser.read(tokens, text))
        except ParseError as error:
            about = error.errors[0]
            line, column = (about.get("line"), about.get("col")) if about.get("line") else place(text, tokens[-1].start)
            raise SqlError(f"{about.get('description') or error}", line or 0, column or 0) from None
        except RecursionError:
            raise fault(
                text, tokens[0].start, "this statement is nested too deeply; split it with $name = ...;"
            ) from None
    return tuple(found)
