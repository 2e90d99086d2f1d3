"""YQL's statements, parsed: expressions and SELECT by sqlglot's parser, the statements around them here.

sqlglot's generic grammar is wider than YQL. What it reads into nodes is harmless, because `lowering` accepts only the
nodes and the arguments that it knows, and names every other one with its line and column. What it reads and forgets, or
takes for an alias, is refused here.
"""

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from vicinal.errors import need
from vicinal.sql.faults import SqlError, fault, place
from vicinal.sql.lexer import tokenize

need("sqlglot", extra="sql")

from sqlglot import exp  # noqa: E402
from sqlglot.dialects.dialect import Dialect  # noqa: E402
from sqlglot.errors import ParseError  # noqa: E402
from sqlglot.parser import Parser  # noqa: E402
from sqlglot.tokens import TokenType  # noqa: E402


class Name(NamedTuple):
    """A name of a table, column, index or setting, and where it stands."""

    text: str
    start: int


@dataclass
class TypeName:
    """A type as it is written: `List<Float>`, `String?`."""

    name: str
    items: list["TypeName"]
    start: int


@dataclass
class Statement:
    """What every statement has: where it begins and ends in the text, without its semicolon."""

    start: int = field(default=0, kw_only=True)
    end: int = field(default=0, kw_only=True)


@dataclass
class Named(Statement):
    """`$name = expression;`, or a SELECT, or a lambda."""

    name: str
    value: Any


@dataclass
class Declare(Statement):
    """`DECLARE $name AS Type;`."""

    name: str
    kind: TypeName


@dataclass
class Pragma(Statement):
    """`PRAGMA name = value;`."""

    name: str
    value: str | None


@dataclass
class ColumnDefinition:
    """A column of CREATE TABLE."""

    name: Name
    kind: TypeName
    required: bool


@dataclass
class CreateTable(Statement):
    """`CREATE TABLE`, with the indexes in it."""

    table: Name
    columns: list[ColumnDefinition]
    key: list[Name]
    if_not_exists: bool
    indexes: list["AddIndex"]


@dataclass
class DropTable(Statement):
    """`DROP TABLE`."""

    table: Name
    if_exists: bool


@dataclass
class AddIndex(Statement):
    """`ALTER TABLE t ADD INDEX`."""

    table: Name
    index: Name
    columns: list[Name]
    cover: list[Name]
    settings: dict[str, tuple[str, int]]


@dataclass
class DropIndex(Statement):
    """`ALTER TABLE t DROP INDEX`."""

    table: Name
    index: Name


@dataclass
class Write(Statement):
    """`INSERT`, `UPSERT` or `REPLACE`: rows of expressions, or a SELECT."""

    verb: str
    table: Name
    columns: list[Name]
    rows: list[list[Any]]
    query: Any


@dataclass
class Update(Statement):
    """`UPDATE t SET ... WHERE`."""

    table: Name
    changes: list[tuple[Name, Any]]
    where: Any


@dataclass
class Delete(Statement):
    """`DELETE FROM t WHERE`."""

    table: Name
    where: Any


@dataclass
class Transaction(Statement):
    """`BEGIN`, `COMMIT` or `ROLLBACK`."""

    verb: str


@dataclass
class Query(Statement):
    """A SELECT."""

    select: Any


class NumberList(exp.Expression):
    """A list of plain numbers, as it is written."""

    arg_types = {"this": True}  # noqa: RUF012


class Invoke(exp.Expression):
    """`$lambda(argument, ...)`."""

    arg_types = {"this": True, "expressions": False}  # noqa: RUF012


class LambdaBlock(exp.Expression):
    """`{ $a = ...; RETURN ... }`: `names` and their values in order, then what is returned."""

    arg_types = {"this": True, "names": False, "expressions": False}  # noqa: RUF012


class CastTo(exp.Expression):
    """`CAST(x AS Type)`; the type is in `meta["kind"]`."""

    arg_types = {"this": True}  # noqa: RUF012


class _Dialect(Dialect):
    NORMALIZE_FUNCTIONS = False
    NULL_ORDERING = "nulls_are_small"
    CONCAT_COALESCE = False
    TYPED_DIVISION = True
    SAFE_DIVISION = False


class _Parser(Parser):
    FUNCTIONS: ClassVar[dict[str, Any]] = {}  # every call is Anonymous: lowering has the one table of functions
    FUNCTION_PARSERS = {  # noqa: RUF012
        "CAST": lambda self: self._cast(),
        "NOTHING": lambda self: self._nothing(),
    }
    NO_PAREN_FUNCTION_PARSERS = {"CASE": lambda self: self._parse_case()}  # noqa: RUF012
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    COLUMN_OPERATORS = {TokenType.DOT: None}  # noqa: RUF012
    PRIMARY_PARSERS = {  # noqa: RUF012
        **Parser.PRIMARY_PARSERS,
        TokenType.HEREDOC_STRING: lambda self, token: NumberList(this=token.text).update_positions(token),
        TokenType.NUMBER: lambda self, token: exp.Literal.number(token.text).update_positions(token),
        TokenType.STRING: lambda self, token: exp.Literal.string(token.text).update_positions(token),
        TokenType.PARAMETER: lambda self, token: self._name(token),
        TokenType.STAR: lambda self, token: self._star(token),
        TokenType.NULL: lambda self, token: exp.Null().update_positions(token),
        TokenType.TRUE: lambda self, token: exp.Boolean(this=True).update_positions(token),
        TokenType.FALSE: lambda self, token: exp.Boolean(this=False).update_positions(token),
    }
    PLACEHOLDER_PARSERS: ClassVar[dict[Any, Any]] = {}

    # What is outside the subset, where sqlglot would read something else.

    def raise_error(self, message: str, token: Any = None) -> None:
        token = token or self._curr
        found = token.text
        if token.token_type == TokenType.SENTINEL:
            token, found = self._tokens[-1], "the end of the statement"
        if found.upper() in ("ROWS", "RANGE", "GROUPS"):
            message = f"a window's frame, {found.upper()}, is outside the subset"
        elif message.startswith(("Required", "Expected table name", "Invalid expression")):
            message = f"unexpected {found}"
        elif message.startswith(("expected", "Expecting", "Expected")):
            message = f"expected {message.split(' ', 1)[1]}, found {found}"
        super().raise_error(message, token)

    def _parse_bracket(self, this: Any = None) -> Any:
        if self._curr.token_type == TokenType.L_BRACE:
            self.raise_error("a set or a dictionary, {...}, is outside the subset")
        return super()._parse_bracket(this)

    def _advance(self, times: int = 1) -> None:
        # Beyond the end there is no token, which a text that breaks off would run into.
        super()._advance(min(times, self._tokens_size - self._index))

    def _parse_csv(self, parse_method: Any, sep: Any = TokenType.COMMA) -> Any:
        """Several of a kind; a comma may stand after the last, but nowhere else without one before it."""
        items: list[Any] = []
        while True:
            item = parse_method()
            if item is None and (not items or self._curr.token_type == sep):
                if self._curr.token_type == sep or items:
                    self.raise_error("Required")
                return items
            if item is not None:
                items.append(item)
            if not self._match(sep):
                return items

    def _needed(self, parse: Any) -> Any:
        node = parse()
        if node is None:
            self.raise_error("Required")
        return node

    def _refuse(self, *tokens: Any) -> None:
        words = " ".join(token.text.upper() for token in tokens)
        self.raise_error(f"{words} is outside the subset", tokens[0])

    def _refuse_as_alias(self) -> None:
        """A word that begins a construct of YQL's would be read as an alias."""
        token = self._curr
        if token.token_type == TokenType.VAR and token.text.upper() in _NO_ALIASES:
            self._refuse(token)

    def _parse_table_alias(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse_as_alias()
        return super()._parse_table_alias(*args, **kwargs)

    def _parse_alias(self, this: Any, explicit: bool = False) -> Any:
        self._refuse_as_alias()
        return super()._parse_alias(this, explicit)

    def _parse_ordered(self, *args: Any, **kwargs: Any) -> Any:
        ordered = super()._parse_ordered(*args, **kwargs)
        before = self._tokens[self._index - 2 : self._index]
        if [token.text.upper() for token in before] in (["NULLS", "FIRST"], ["NULLS", "LAST"]):
            self._refuse(*before)
        return ordered

    def _parse_join(self, *args: Any, **kwargs: Any) -> Any:
        token, after = self._curr, self._next
        if token.text.upper() in ("LEFT", "RIGHT", "FULL") and after.text.upper() in ("ANTI", "ANY", "ONLY"):
            self._refuse(token, after)
        join = super()._parse_join(*args, **kwargs)
        if join is not None:
            join.meta.update(start=token.start, comma=token.token_type == TokenType.COMMA)
        return join

    # Where things stand.

    def _parse_disjunction(self) -> Any:
        return self._placed(super()._parse_disjunction)

    def _parse_lambda(self, alias: bool = False) -> Any:
        return self._placed(lambda: super(_Parser, self)._parse_lambda(alias))

    def _placed(self, parse: Any) -> Any:
        start = self._curr.start
        node = parse()
        if node is not None:
            node.meta["span"] = (start, self._prev.end + 1)
        return node

    # Expressions that sqlglot does not have.

    def _name(self, token: Any) -> Any:
        name = exp.Parameter(this=exp.Var(this=token.text)).update_positions(token)
        if not self._match(TokenType.L_PAREN):
            return name
        arguments = self._parse_csv(self._parse_disjunction)
        self._match_r_paren()
        return Invoke(this=name, expressions=arguments).update_positions(token)

    def _cast(self) -> Any:
        this = self._needed(self._parse_disjunction)
        if not self._match(TokenType.ALIAS):
            self.raise_error("expected AS in CAST")
        node = CastTo(this=this)
        node.meta["kind"] = self.type_name()
        return node

    def _nothing(self) -> Any:
        node = CastTo(this=exp.Null())
        node.meta["kind"] = self.type_name()
        return node

    def _parse_type(self, parse_interval: bool = True, fallback_to_identifier: bool = False) -> Any:
        # Types stand in CAST, DECLARE and CREATE TABLE only.
        return self._parse_column()

    def _parse_paren(self) -> Any:
        return self._lambda() if self._at_lambda() else super()._parse_paren()

    def _at_lambda(self) -> bool:
        if self._curr.token_type != TokenType.L_PAREN or self._next.token_type not in (
            TokenType.PARAMETER,
            TokenType.R_PAREN,
        ):
            return False
        ahead = self._index + 1
        while ahead < self._tokens_size and self._tokens[ahead].token_type in (TokenType.PARAMETER, TokenType.COMMA):
            ahead += 1
        kinds = [token.token_type for token in self._tokens[ahead : ahead + 2]]
        return kinds == [TokenType.R_PAREN, TokenType.ARROW]

    def _lambda(self) -> Any:
        start = self._curr
        self._advance()
        names = []
        while self._match(TokenType.PARAMETER):
            names.append(exp.Var(this=self._prev.text))
            if not self._match(TokenType.COMMA):
                break
        self._advance(2)
        if self._match(TokenType.L_BRACE):
            body = self._block()
        elif self._match(TokenType.L_PAREN):
            body = self._needed(self._parse_disjunction)
            self._match_r_paren()
        else:
            self.raise_error("expected { or ( after ->")
        return exp.Lambda(this=body, expressions=names).update_positions(start)

    def _block(self) -> Any:
        names, values = [], []
        while self._match(TokenType.PARAMETER):
            names.append(exp.Var(this=self._prev.text))
            self.expect(TokenType.EQ, "=")
            values.append(self._value())
            self.expect(TokenType.BLOCK_END, ";")
        if not self._match_text_seq("RETURN"):
            self.raise_error("expected RETURN")
        node = LambdaBlock(this=self._needed(self._parse_disjunction), names=names, expressions=values)
        self._match(TokenType.BLOCK_END)
        self.expect(TokenType.R_BRACE, "}")
        return node

    def _parse_select_query(self, *args: Any, **kwargs: Any) -> Any:
        if self._curr.token_type == TokenType.FROM:
            self.raise_error("FROM before SELECT is outside the subset")
        return super()._parse_select_query(*args, **kwargs)

    def _parse_group(self, *args: Any, **kwargs: Any) -> Any:
        token = self._curr
        group = super()._parse_group(*args, **kwargs)
        if group is not None and not any(group.args.values()):
            self.raise_error("Required")
        if group is not None:
            group.meta["start"] = token.start
        return group

    def _parse_partition_by(self) -> Any:
        token = self._curr
        found = super()._parse_partition_by()
        if token.token_type == TokenType.PARTITION_BY and not found:
            self.raise_error("Required")
        return found

    def _parse_limit(self, *args: Any, **kwargs: Any) -> Any:
        token = self._curr
        limit = super()._parse_limit(*args, **kwargs)
        if isinstance(limit, exp.Limit):
            if limit.args.get("offset"):
                self.raise_error("LIMIT with two numbers is outside the subset: write LIMIT n OFFSET m", token)
            limit.meta["start"] = token.start
        return limit

    # Tables: $name, and VIEW.

    def _parse_table(self, *args: Any, **kwargs: Any) -> Any:
        if self._match(TokenType.PARAMETER):
            token = self._prev
            table = exp.Table(this=exp.Identifier(this="$" + token.text).update_positions(token))
        elif self._curr.token_type in (TokenType.VAR, TokenType.IDENTIFIER) and self._next.token_type == TokenType.VIEW:
            token = self._curr
            self._advance(2)
            table = exp.Table(this=exp.Identifier(this=token.text).update_positions(token))
            table.meta["view"] = (
                "PRIMARY KEY" if self._match(TokenType.PRIMARY_KEY) else self.name("the index after VIEW")
            )
        else:
            return super()._parse_table(*args, **kwargs)
        alias = self._parse_table_alias()
        if alias:
            table.set("alias", alias)
        if kwargs.get("joins"):
            for join in self._parse_joins():
                table.append("joins", join)
        return table

    # Parts of statements.

    def _star(self, token: Any) -> Any:
        if self._curr.text.upper() in ("EXCEPT", "EXCLUDE", "REPLACE", "RENAME", "WITHOUT"):
            self._refuse(self._curr)
        return exp.Star().update_positions(token)

    def expect(self, kind: Any, what: str) -> None:
        if not self._match(kind):
            self.raise_error(f"expected {what}")

    def name(self, what: str) -> Name:
        token = self._curr
        word = token.text[:1].isalpha() or token.text[:1] == "_"
        if token.token_type == TokenType.SENTINEL or (token.token_type != TokenType.IDENTIFIER and not word):
            self.raise_error(f"expected {what}")
        self._advance()
        return Name(token.text, token.start)

    def names(self, what: str) -> list[Name]:
        self.expect(TokenType.L_PAREN, "(")
        found = [self.name(what)]
        while self._match(TokenType.COMMA):
            if self._curr.token_type == TokenType.R_PAREN:
                break
            found.append(self.name(what))
        self.expect(TokenType.R_PAREN, ")")
        return found

    def words(self, *words: str) -> bool:
        return bool(self._match_text_seq(*words))

    def type_name(self) -> TypeName:
        name = self.name("a type")
        items = []
        if self._match(TokenType.LT):
            items.append(self.type_name())
            while self._match(TokenType.COMMA):
                items.append(self.type_name())
            self.expect(TokenType.GT, ">")
        elif self._curr.token_type == TokenType.L_PAREN:
            self.raise_error(f"type {name.text}(...) is outside the subset")
        found = TypeName(name.text, items, name.start)
        while self._match(TokenType.PLACEHOLDER):
            found = TypeName("Optional", [found], name.start)
        return found

    def _value(self) -> Any:
        if self._curr.token_type == TokenType.SELECT:
            return self._parse_select()
        return self._needed(self._parse_disjunction)

    def statement(self) -> Statement:
        first = self._curr
        if self._match(TokenType.PARAMETER):
            name = self._prev.text
            if self._curr.token_type == TokenType.COMMA:
                self.raise_error("several names at once are outside the subset")
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
        self.raise_error(f"{verb} is outside the subset", first)
        raise AssertionError

    def declare(self) -> Statement:
        self.expect(TokenType.PARAMETER, "a $name")
        name = self._prev.text
        self.expect(TokenType.ALIAS, "AS")
        return Declare(name, self.type_name())

    def pragma(self) -> Statement:
        name = self.name("a pragma's name").text
        while self._match(TokenType.DOT):
            name += "." + self.name("a pragma's name").text
        if not self._match(TokenType.EQ):
            return Pragma(name, None)
        if self._curr.token_type not in (TokenType.STRING, TokenType.NUMBER, TokenType.VAR):
            self.raise_error("expected a pragma's value")
        self._advance()
        return Pragma(name, self._prev.text.strip("\"'"))

    def create(self) -> Statement:
        if not self._match(TokenType.TABLE):
            self.name("TABLE")
            self.raise_error(f"CREATE {self._prev.text.upper()} is outside the subset", self._prev)
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
                    self.raise_error(f"{self._curr.text.upper()} in CREATE TABLE is outside the subset")
                name = self.name("a column's name")
                kind = self.type_name()
                required = self.words("NOT", "NULL")
                if not required:
                    self.words("NULL")
                columns.append(ColumnDefinition(name, kind, required))
            if not self._match(TokenType.COMMA):
                break
        if self._curr.token_type != TokenType.R_PAREN and self._curr.text[:1].isalpha():
            self._refuse(self._curr)
        self.expect(TokenType.R_PAREN, ", or )")
        if self._curr.token_type == TokenType.WITH:
            self.raise_error("WITH settings of CREATE TABLE are outside the subset")
        return CreateTable(table, columns, key, exists, indexes)

    def _third(self) -> Any:
        """The kind of the token after the next."""
        at = self._index + 2
        return self._tokens[at].token_type if at < self._tokens_size else None

    def drop(self) -> Statement:
        if not self._match(TokenType.TABLE):
            self.name("TABLE")
            self.raise_error(f"DROP {self._prev.text.upper()} is outside the subset", self._prev)
        exists = self.words("IF", "EXISTS")
        return DropTable(self.name("a table's name"), exists)

    def alter(self) -> Statement:
        if not self._match(TokenType.TABLE):
            self.name("TABLE")
            self.raise_error(f"ALTER {self._prev.text.upper()} is outside the subset", self._prev)
        table = self.name("a table's name")
        if self.words("DROP", "INDEX"):
            return DropIndex(table, self.name("an index's name"))
        if not self.words("ADD", "INDEX"):
            self.name("ADD INDEX or DROP INDEX")
            self.raise_error(f"ALTER TABLE {self._prev.text.upper()} is outside the subset", self._prev)
        return self.index(table)

    def index(self, table: Name) -> AddIndex:
        start = self._curr.start
        index = self.name("an index's name")
        if not self.words("GLOBAL"):
            self.raise_error("expected GLOBAL")
        self.words("SYNC")
        if not self._match(TokenType.USING):
            self.raise_error("a secondary index is outside the subset: expected USING vector_kmeans_tree")
        kind = self.name("the index's type")
        if kind.text != "vector_kmeans_tree":
            self.raise_error(f"an index of type {kind.text} is outside the subset: expected vector_kmeans_tree")
        self.expect(TokenType.ON, "ON")
        columns = self.names("a column")
        cover = self.names("a column") if self.words("COVER") else []
        settings: dict[str, tuple[str, int]] = {}
        if self._match(TokenType.WITH):
            self.expect(TokenType.L_PAREN, "(")
            while self._curr.token_type != TokenType.R_PAREN:
                setting = self.name("a setting")
                self.expect(TokenType.EQ, "=")
                if self._curr.token_type not in (TokenType.STRING, TokenType.NUMBER, TokenType.VAR):
                    self.raise_error(f"expected the value of {setting.text}")
                settings[setting.text] = (self._curr.text.strip("\"'"), setting.start)
                self._advance()
                if not self._match(TokenType.COMMA):
                    break
            self.expect(TokenType.R_PAREN, ")")
        return AddIndex(table, index, columns, cover, settings, start=start)

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
            if self._match(TokenType.PARAMETER):
                self.raise_error(f"{verb} from a named expression is outside the subset: write SELECT * FROM $name")
            query = self._parse_query_modifiers(self._parse_set_operations(self._parse_select()))
        else:
            self.raise_error("expected VALUES or SELECT")
        return Write(verb, table, columns, rows, query)

    def row(self) -> list[Any]:
        self.expect(TokenType.L_PAREN, "(")
        values = self._parse_csv(self._parse_disjunction)
        if not values:
            self.raise_error("Required")
        self.expect(TokenType.R_PAREN, ")")
        return values

    def update(self) -> Statement:
        table = self.name("a table's name")
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
        return Delete(self.name("a table's name"), self.where())

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
            token = self._curr
            if token.text[0].isalpha() and token.token_type != TokenType.IDENTIFIER:
                self._refuse(token)
            self.raise_error(f"unexpected {token.text}")
        found.start, found.end = tokens[0].start, tokens[-1].end + 1
        return found


_NAMES = (TokenType.VAR, TokenType.IDENTIFIER)
# Words that begin a construct after a table or a value; quoted in backticks or after AS they are names.
_NO_ALIASES = frozenset(
    """
    ANTI ANY ASOF ASSUME BERNOULLI COLLATE COMPACT EXCLUSION FETCH FINAL FLATTEN FOR GLOB HAVING ISNULL LATERAL
    MATCH MATCH_RECOGNIZE NATURAL NOTNULL ONLY PIVOT POSITIONAL QUALIFY REGEXP RESPECT RETURNING RLIKE SAMPLE
    STREAM SYSTEM TABLESAMPLE UNPIVOT WITHOUT XOR
    """.split()  # noqa: SIM905
)
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
}
MOST_REMEMBERED = 4096


def parse(text: str) -> tuple[Statement, ...]:
    """The statements of a text; of one of at most `MOST_REMEMBERED` characters, what was read when it last came.

    Raises    SqlError with line and column.
    >>> [type(one).__name__ for one in parse("$k = 3; SELECT 1; // done")]
    ['Named', 'Query']
    """
    return _remembered(text) if len(text) <= MOST_REMEMBERED else read(text)


def read(text: str) -> tuple[Statement, ...]:
    """The statements of a text, read now; nothing changes them afterwards."""
    statements = tokenize(text)
    parser = _Parser(dialect=_Dialect)
    found = []
    for tokens in statements:
        try:
            found.append(parser.read(tokens, text))
        except ParseError as error:
            about = error.errors[0]
            line, column = (about.get("line"), about.get("col")) if about.get("line") else place(text, tokens[-1].start)
            raise SqlError(f"{about.get('description') or error}", line or 0, column or 0) from None
        except RecursionError:
            raise fault(text, tokens[0].start, "this statement is nested too deeply") from None
    return tuple(found)


_remembered = functools.lru_cache(maxsize=256)(read)


def start_of(node: Any, default: int = 0) -> int:
    """Where an expression begins in the text, the default where nothing in it says."""
    found = node.meta.get("start")
    if found is None and "span" in node.meta:
        return node.meta["span"][0]
    if found is not None:
        return found
    starts = [start_of(child, -1) for child in node.iter_expressions()]
    return min((start for start in starts if start >= 0), default=default)
