"""YQL's expressions and SELECT, parsed by sqlglot.

sqlglot's generic grammar is wider than YQL. What it reads into nodes is harmless, because `compile` accepts only the
nodes and the arguments that it knows, and names every other one with its line and column. What it reads and forgets, or
takes for an alias, is refused here.
"""

from typing import Any, ClassVar, NoReturn

from vicinal.sql.faults import NO_ALIASES, REMEDIES
from vicinal.sql.parse.dialect import (
    CastTo,
    Invoke,
    JsonCall,
    LambdaBlock,
    NumberList,
    Parser,
    Tokenizer,
    TokenType,
    exp,
)
from vicinal.sql.parse.parts import END, PartsParser

CURRIED = "a call of a function's result, f(...)(...),"


class QueryParser(PartsParser):
    """Reads expressions and SELECT, and the parts that statements are made of."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}  # every call is Anonymous: `compile` has the one table of functions
    FUNCTION_PARSERS = {  # noqa: RUF012
        "CAST": lambda self: self._cast(),
        "NOTHING": lambda self: self._nothing(),
        "JSON_VALUE": lambda self: self._json("value"),
        "JSON_QUERY": lambda self: self._json("query"),
        "JSON_EXISTS": lambda self: self._json("exists"),
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
        TokenType.BIT_STRING: lambda self, token: self._struct(token),
        TokenType.NULL: lambda self, token: exp.Null().update_positions(token),
        TokenType.TRUE: lambda self, token: exp.Boolean(this=True).update_positions(token),
        TokenType.FALSE: lambda self, token: exp.Boolean(this=False).update_positions(token),
    }
    PLACEHOLDER_PARSERS: ClassVar[dict[Any, Any]] = {}

    def leftover(self) -> NoReturn:
        """Raises ParseError for what stands after a whole statement."""
        token, before = self._curr, self._prev.text.upper()
        if token.token_type == TokenType.STRING and before in ("DATE", "DATETIME", "TIMESTAMP"):
            self.outside(f"{before} {token.text}", token, f"write {before.title()}({token.text})")
        if token.token_type == TokenType.STRING and before == "INTERVAL":
            self.outside("INTERVAL", token)
        if token.token_type == TokenType.L_PAREN and before == ")":
            self.outside(CURRIED, token)
        if before == "RESULT":
            self.outside("INTO RESULT", self._prev, "leave it out")
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
        if token.token_type == TokenType.VAR and token.text.upper() in NO_ALIASES:
            self._refuse(token)

    def _parse_table_alias(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse_as_alias()
        if self._curr.token_type == TokenType.VAR and self._curr.text.upper() == "BY":  # of JOIN NEAREST
            return None
        return super()._parse_table_alias(*args, **kwargs)

    def _parse_alias(self, this: Any, explicit: bool = False) -> Any:
        if self._prev.token_type == TokenType.R_PAREN and self._curr.token_type == TokenType.L_PAREN:
            self.outside(CURRIED)
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
        self._refuse_kinds_of_nearest()
        nearest = self._nearest()
        if nearest is not None:
            return nearest
        join = super()._parse_join(*args, **kwargs)
        if join is not None:
            join.meta.update(start=token.start, comma=token.token_type == TokenType.COMMA)
        return join

    def _refuse_kinds_of_nearest(self) -> None:
        """Refuses LEFT JOIN NEAREST and its siblings."""
        words: list[str] = []
        for token in self._tokens[self._index : self._index + 4]:
            words.append(token.text.upper())
            if (
                len(words) > 2
                and words[-2:] == ["JOIN", "NEAREST"]
                and words[0] in ("INNER", "LEFT", "RIGHT", "FULL", "CROSS")
            ):
                self.outside(" ".join(words), self._curr, "write JOIN NEAREST, which is inner")

    def _nearest(self) -> Any:
        """`JOIN NEAREST k table BY Knn::Function(a.e, b.e)`; None where another join, or none, comes."""
        start = self._curr
        if start.token_type != TokenType.JOIN or self._next.text.upper() != "NEAREST":
            return None
        self._advance(2)
        count = self._needed(self._parse_primary)
        node = exp.Join(this=self._needed(self._parse_table), kind="NEAREST")
        if not self.words("BY"):
            self.raise_error("expected BY and a function of Knn")
        node.meta.update(start=start.start, comma=False, count=count, by=self._needed(self._parse_disjunction))
        return node

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

    def _json(self, what: str) -> Any:
        """What follows JSON_VALUE( and the like; DEFAULT stands for both ON EMPTY and ON ERROR."""
        node = JsonCall(this=self._needed(self._parse_disjunction))
        self.expect(TokenType.COMMA, "a comma and a path")
        node.set("path", self._needed(self._parse_disjunction))
        node.meta["what"] = what
        if self.words("RETURNING"):
            node.meta["returning"] = self.type_name()
        while self._curr.token_type != TokenType.R_PAREN:
            word = self._curr.text.upper()
            if word == "DEFAULT" or (what == "exists" and word in ("TRUE", "FALSE")):
                if word == "DEFAULT":
                    self._advance()
                node.set("default", self._needed(self._parse_disjunction))
            elif not (self._match(TokenType.NULL) or (what == "exists" and self.words("UNKNOWN"))):
                self.outside(f"{word} in JSON_{what.upper()}", remedy="write NULL or DEFAULT value ON EMPTY, ON ERROR")
            if not (self._match(TokenType.ON) and (self.words("EMPTY") or self.words("ERROR"))):
                self.raise_error("expected ON EMPTY or ON ERROR")
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

    def _struct(self, token: Any) -> Any:
        """`<|a: 1, b: 2|>`, as the call AsStruct(1 AS a, 2 AS b)."""
        members = []
        while self._curr.token_type != TokenType.SENTINEL and self._curr.text != "|>":
            name = self._member()
            self.expect(TokenType.COLON, ": and the member's value")
            members.append(exp.Alias(this=self._needed(self._parse_disjunction), alias=exp.Identifier(this=name)))
            if not self._match(TokenType.COMMA):
                break
        if self._curr.text != "|>":
            self.raise_error("expected |> at the end of the struct")
        self._advance()
        return exp.Anonymous(this="AsStruct", expressions=members).update_positions(token)

    def _value(self) -> Any:
        if self._curr.token_type == TokenType.SELECT:
            return self._parse_select()
        return self._needed(self._parse_disjunction)
