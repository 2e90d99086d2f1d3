"""YQL's text as tokens for sqlglot's parser.

YQL has tokens that sqlglot does not know: `//` comments, `$names`, `Module::names`, `@@...@@`, numbers with suffixes.
One regular expression finds them all. String and number tokens keep their source text; `literals` reads them. A list of
plain numbers is one token, so that a statement with a vector of hundreds of elements is read in under a millisecond.
"""

import re
from typing import Any

from vicinal.errors import half_pair
from vicinal.sql.faults import fault
from vicinal.sql.parse.dialect import Token, Tokenizer, TokenType
from vicinal.sql.parse.literals import unescape

_NUMBER = r"(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)[a-zA-Z]*"

_TOKEN = re.compile(
    rf"""
    (?P<blank>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)
  | (?P<list>\[\s*-?\s*{_NUMBER}(?:\s*,\s*-?\s*{_NUMBER})*\s*,?\s*\])
  | (?P<number>{_NUMBER})
  | (?P<string>(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|@@(?:[^@]|@(?!@)|@@@@)*@@)(?:[a-zA-Z]+\b)?)
  | (?P<name>\$(?:[A-Za-z_]\w*|`(?:[^`\\]|\\.)*`))
  | (?P<quoted>`(?:[^`\\]|\\.)*`)
  | (?P<word>[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)*)
  | (?P<struct><\||\|>)
  | (?P<sign>->|==|!=|<>|<=|>=|\|\||\?\?|/(?!\*)|[-+*%(){{}}\[\],;.=<>?:&|^~!])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_PAIRS = re.compile(r"(ORDER|GROUP|PARTITION)\s+BY\b|PRIMARY\s+KEY\b", re.IGNORECASE)

# Words with a meaning of their own in sqlglot's grammar; every other word is a name.
_WORDS = frozenset(
    """
    ALL ALTER AND AS ASC BEGIN BETWEEN CASE COMMIT CREATE CROSS DECLARE DELETE DESC DISTINCT DROP ELSE
    END ESCAPE EXCEPT EXISTS FALSE FROM FULL HAVING ILIKE IN INNER INSERT INTERSECT INTO IS JOIN LEFT
    LIKE LIMIT NOT NULL OFFSET ON OR OUTER OVER PRAGMA RIGHT ROLLBACK SELECT SEMI SET TABLE THEN TRUE
    UNION UPDATE USING VALUES VIEW WHEN WHERE WINDOW WITH
    """.split()  # noqa: SIM905
)

_KINDS = {
    **{word: Tokenizer.KEYWORDS[word] for word in _WORDS if word in Tokenizer.KEYWORDS},
    "UPSERT": TokenType.INSERT,
    "REPLACE": TokenType.REPLACE,
    "PRAGMA": TokenType.PRAGMA,
    "DECLARE": TokenType.DECLARE,
}
_SIGNS = {**Tokenizer.SINGLE_TOKENS, **Tokenizer.KEYWORDS, "->": TokenType.ARROW, "??": TokenType.DQMARK}
_GROUPS = {
    "list": TokenType.HEREDOC_STRING,
    "number": TokenType.NUMBER,
    "string": TokenType.STRING,
    "name": TokenType.PARAMETER,
    "quoted": TokenType.IDENTIFIER,
}
# After one of these, [ is a subscript and begins no list.
_SUBSCRIPTED = frozenset(
    (
        *(TokenType.VAR, TokenType.IDENTIFIER, TokenType.PARAMETER),
        *(TokenType.HEREDOC_STRING, TokenType.R_PAREN, TokenType.R_BRACKET),
    )
)


def tokenize(text: str) -> list[list[Any]]:
    """The tokens of each statement, blanks and comments left out; a semicolon within braces stays within.

    Raises    SqlError where a character begins no token, or a string or comment has no end, or the text is no Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise fault(text, error.start, half_pair(error)) from None
    statements: list[list[Any]] = [[]]
    position, depth, line, line_start = 0, 0, 1, 0
    match = _TOKEN.match
    while position < len(text):
        found = match(text, position)
        if found is None:
            raise fault(text, position, _no_token(text, position))
        start, position = position, found.end()
        value = found[0]
        if found.lastgroup != "blank":
            depth += {"{": 1, "}": -1}.get(value, 0)
            if value == ";" and depth <= 0:
                statements.append([])
                continue
            after = bool(statements[-1]) and statements[-1][-1].token_type in _SUBSCRIPTED
            kind, value, position = _read(text, found, after)
            statements[-1].append(Token(kind, value, line, start - line_start + 1, start, position - 1))
        newlines = text.count("\n", start, position)
        if newlines:
            line += newlines
            line_start = text.rfind("\n", start, position) + 1
    return [statement for statement in statements if statement]


def _read(text: str, found: re.Match[str], subscript: bool) -> tuple[Any, str, int]:
    """A token's kind, its text, and where it ends.

    subscript : whether the token before is one that [ may be a subscript of
    """
    group, value, start, end = found.lastgroup or "", found[0], found.start(), found.end()
    if group == "sign":
        return TokenType.BLOCK_END if value == ";" else _SIGNS[value], value, end
    if group == "word":
        pair = _PAIRS.match(text, start)
        if pair:
            value = " ".join(pair[0].upper().split())
            return _SIGNS[value], value, pair.end()
        if "::" in value:
            return TokenType.VAR, re.sub(r"\s+", "", value), end
        return _KINDS.get(value.upper(), TokenType.VAR), value, end
    if group == "struct":
        return TokenType.BIT_STRING, value, end
    if group == "list" and subscript:
        return TokenType.L_BRACKET, "[", start + 1
    if group == "name":
        value = value[1:] if value[1] != "`" else _unquoted(text, start + 1, value[1:])
    elif group == "quoted":
        value = _unquoted(text, start, value)
    return _GROUPS[group], value, end


def comments(text: str) -> list[tuple[int, int, str]]:
    """Where each comment begins and ends, and its text.

    >>> comments("SELECT 1 // one")
    [(9, 15, '// one')]
    """
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            break
        if match.lastgroup == "blank" and not match[0].isspace():
            found.append((position, match.end(), match[0]))
        position = match.end()
    return found


def names_in(text: str) -> list[str]:
    """The `$name`s of a text, each once.

    >>> names_in("SELECT $a, '$b' FROM $c -- $d")
    ['a', 'c']
    """
    tokens = [one for statement in tokenize(text) for one in statement]
    return list(dict.fromkeys(one.text for one in tokens if one.token_type == TokenType.PARAMETER))


def complete(text: str) -> bool:
    """Whether a text ends with a semicolon outside strings, comments and braces.

    >>> complete("SELECT 1;"), complete("SELECT 1"), complete("SELECT ';"), complete("SELECT 1; -- done")
    (True, False, False, True)
    """
    position, depth, last = 0, 0, ""
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return False
        if match.lastgroup != "blank":
            last = match[0]
            depth += {"{": 1, "}": -1}.get(last, 0)
        position = match.end()
    return last == ";" and depth <= 0


def _no_token(text: str, position: int) -> str:
    """What to say where no token begins."""
    for mark, what, end in (
        ('"', "string", '"'),
        ("'", "string", "'"),
        ("`", "name in backticks", "`"),
        ("/*", "comment", "*/"),
        ("@@", "string", "@@"),
    ):
        if text.startswith(mark, position):
            return f"this {what} has no end; write {end} after it"
    return f"expected a name, a number, a string or an operator, found the character {text[position]!r}; remove it"


def _unquoted(text: str, start: int, value: str) -> str:
    try:
        return unescape(value[1:-1]).decode("utf-8")
    except ValueError as error:
        raise fault(text, start, str(error)) from None
