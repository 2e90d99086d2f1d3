"""YQL's expressions and SELECT, parsed by sqlglot.

sqlglot's generic grammar is wider than YQL. What it reads into nodes is harmless, because `compile` accepts only the
nodes and the arguments that it knows, and names every other one with its line and column. What it reads and forgets, or
takes for an alias, is refused here.
"""

from typing import Any, ClassVar, NoReturn

from vicinal.sql.faults import REMEDIES, outside
from vicinal.sql.parse.dialect import CastTo, Invoke, LambdaBlock, NumberList, Parser, Tokenizer, TokenType, exp
from vicinal.sql.parse.statements import Name, TypeName

END = "the end of the statement"


class QueryParser(Parser):
    """Reads expressions and SELECT, and the parts that statements are made of."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}  # every call is Anonymous: `compile` has the one table of functions
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

    def raise_error(self, message: str, token: Any = None) -> NoReturn:
        """Raises ParseError at a token, the present one where none is given; sqlglot's messages are made ours."""
        if token is None or message.startswith("Expected END after CASE"):
            token = self._curr
        found = token.text
        if token.token_type == TokenType.SENTINEL:
            token, found = self._tokens[-1], END
        if found.upper() in ("ROWS", "RANGE", "GROUPS"):
            message = outside(f"a window's frame, {found.upper()},", "leave it out")
        elif message.startswith("Expected table name"):
            message = f"expected a table's name or a SELECT in parentheses, found {found}"
        elif message.startswith(("Required", "Invalid expression")):
            message = f"expected a value, found {found}"
        elif message.startswith(("expected", "Expecting", "Expected")):
            message = f"expected {message.split(' ', 1)[1]}, found {found}"
        super().raise_error(message, token)
        raise AssertionError("sqlglot raises at once")

    def outside(self, construct: str, token: Any = None, remedy: str = "") -> NoReturn:
        """Raises ParseError for a construct that the subset does not have."""
        self._fail(outside(construct, remedy), token or self._curr)

    def _fail(self, message: str, token: Any) -> NoReturn:
        """Raises ParseError with a message of ours as it is."""
        super().raise_error(message, token)
        raise AssertionError("sqlglot raises at once")

    def leftover(self) -> NoReturn:
        """Raises ParseError for what stands after a whole statement."""
        token, before = self._curr, self._prev.text.upper()
        if token.token_type == TokenType.STRING and before in ("DATE", "DATETIME", "TIMESTAMP"):
            self.outside(f"{before} {token.text}", token, f"write {before.title()}({token.text})")
        if token.token_type == TokenType.STRING and before == "INTERVAL":
            self.outside("INTERVAL", token)
        if token.token_type == TokenType.L_PAREN and before == "FILTER":
            self.outside("FILTER (...)", token)
        if token.token_type == TokenType.ARROW:
            self._fail("expected ($x) before ->, as a lambda has it; write ($x) -> (...)", token)
        word = token.text.upper()
        if token.token_type != TokenType.IDENTIFIER and (word in REMEDIES or word in Tokenizer.KEYWORDS):
            self._refuse(token)
        self._fail(f"expected a comma, an operator, a clause or {END}, found {token.text}", token)

    def _parse_bracket(self, this: Any = None) -> Any:
        if self._curr.token_type == TokenType.L_BRACE:
            self.outside("a set or a dictionary, {...},", remedy="write a list, [a, b]")
        return super()._parse_bracket(this)

    def _advance(self, times: int = 1) -> None:
        # A text that breaks off would make sqlglot read a token beyond the last one.
        super()._advance(min(times, self._tokens_size - self._index))

    def _parse_csv(self, parse_method: Any, sep: Any = TokenType.COMMA) -> Any:
        """Several of a kind with commas between them; a comma may stand after the last."""
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

    def _refuse(self, *tokens: Any) -> NoReturn:
        self.outside(" ".join(token.text.upper() for token in tokens), tokens[0])

    def _refuse_as_alias(self) -> None:
        """Refuses a word that begins a construct of YQL's; sqlglot would read it as an alias."""
        token = self._curr
        if token.token_type == TokenType.VAR and token.text.upper() in _NO_ALIASES:
            self._refuse(token)

    def _parse_table_alias(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse_as_alias()
        return super()._parse_table_alias(*args, **kwargs)

    def _parse_alias(self, this: Any, explicit: bool = False) -> Any:
        self._refuse_as_alias()
        written = self._curr.token_type == TokenType.ALIAS
        found = super()._parse_alias(this, explicit)
        if written and self._prev.token_type == TokenType.ALIAS:
            self.raise_error("expected a name after AS")
        return found

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
        return self._placed(lambda: super(QueryParser, self)._parse_lambda(alias))

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
            self.raise_error("expected RETURN value at the end of { ... }")
        node = LambdaBlock(this=self._needed(self._parse_disjunction), names=names, expressions=values)
        self._match(TokenType.BLOCK_END)
        self.expect(TokenType.R_BRACE, "}")
        return node

    def _parse_select_query(self, *args: Any, **kwargs: Any) -> Any:
        if self._curr.token_type == TokenType.FROM:
            self.outside("FROM before SELECT")
        # sqlglot would read TOP as a column.
        if self._curr.token_type == TokenType.SELECT and self._next.text.upper() == "TOP":
            after = self._tokens[self._index + 2 : self._index + 4]
            if after and after[0].token_type == TokenType.NUMBER:
                self.outside("TOP", self._next, f"write LIMIT {after[0].text} at the end of the SELECT")
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
                self.outside("LIMIT with two numbers", token)
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
        """Passes a token of that kind; any other is an error that names `what`."""
        if not self._match(kind):
            self.raise_error(f"expected {what}")

    def name(self, what: str) -> Name:
        """Passes a name; any other token is an error that names `what`."""
        token = self._curr
        word = token.text[:1].isalpha() or token.text[:1] == "_"
        if token.token_type == TokenType.SENTINEL or (token.token_type != TokenType.IDENTIFIER and not word):
            self.raise_error(f"expected {what}")
        self._advance()
        return Name(token.text, token.start)

    def names(self, what: str) -> list[Name]:
        """Names in parentheses."""
        self.expect(TokenType.L_PAREN, "(")
        found = [self.name(what)]
        while self._match(TokenType.COMMA):
            if self._curr.token_type == TokenType.R_PAREN:
                break
            found.append(self.name(what))
        self.expect(TokenType.R_PAREN, ")")
        return found

    def words(self, *words: str) -> bool:
        """Passes the words where all of them come next; whether they did."""
        return bool(self._match_text_seq(*words))

    def type_name(self) -> TypeName:
        """A type as it is written."""
        name = self.name("a type")
        items = []
        if self._match(TokenType.LT):
            items.append(self.type_name())
            while self._match(TokenType.COMMA):
                items.append(self.type_name())
            self.expect(TokenType.GT, ">")
        elif self._curr.token_type == TokenType.L_PAREN:
            self.outside(f"type {name.text}(...)", remedy="write a type without parentheses")
        found = TypeName(name.text, items, name.start)
        while self._match(TokenType.PLACEHOLDER):
            found = TypeName("Optional", [found], name.start)
        return found

    def _value(self) -> Any:
        if self._curr.token_type == TokenType.SELECT:
            return self._parse_select()
        return self._needed(self._parse_disjunction)


# Words that begin a construct after a table or a value; quoted in backticks or after AS they are names.
_NO_ALIASES = frozenset(
    """
    ANTI ANY ASOF ASSUME BERNOULLI COLLATE COMPACT EXCLUSION FETCH FINAL FLATTEN FOR GLOB HAVING ISNULL LATERAL
    MATCH MATCH_RECOGNIZE NATURAL NOTNULL ONLY PIVOT POSITIONAL QUALIFY REGEXP RESPECT RETURNING RLIKE SAMPLE
    STREAM SYSTEM TABLESAMPLE UNPIVOT WITHOUT XOR
    """.split()  # noqa: SIM905
)
