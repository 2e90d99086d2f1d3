"""The parts that statements are made of: names, words, types; and the errors of parsing."""

from typing import Any, NoReturn

from vicinal.sql.faults import outside
from vicinal.sql.parse.dialect import Parser, TokenType
from vicinal.sql.parse.statements import Name, TypeName

END = "the end of the statement"


class PartsParser(Parser):
    """Reads names, words and types."""

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
        items: list[TypeName] = []
        members: list[str] = []
        if self._match(TokenType.LT):
            while True:
                if name.text.lower() == "struct":
                    members.append(self._member())
                    self.expect(TokenType.COLON, ": and the member's type")
                items.append(self.type_name())
                if not self._match(TokenType.COMMA):
                    break
            self.expect(TokenType.GT, ">")
        elif name.text.lower() == "decimal" and self._match(TokenType.L_PAREN):
            members = [self._digits()]
            self.expect(TokenType.COMMA, ", and the scale")
            members.append(self._digits())
            self.expect(TokenType.R_PAREN, ")")
        elif self._curr.token_type == TokenType.L_PAREN:
            self.outside(f"type {name.text}(...)", remedy="write a type without parentheses")
        found = TypeName(name.text, items, name.start, members)
        while self._match(TokenType.PLACEHOLDER):
            found = TypeName("Optional", [found], name.start)
        return found

    def _digits(self) -> str:
        if self._curr.token_type != TokenType.NUMBER or not self._curr.text.isdigit():
            self.raise_error("expected a whole number")
        self._advance()
        return str(self._prev.text)

    def _member(self) -> str:
        """The name of a struct's member, which may stand in quotes."""
        if self._match(TokenType.STRING):
            return str(self._prev.text[1:-1])
        return self.name("a member's name").text
