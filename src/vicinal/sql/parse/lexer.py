"""YQL's text as tokens for sqlglot's parser.

One regular expression, because YQL's tokens are its own: `//` comments, `$names`, `Module::names`, `@@...@@`, numbers
with suffixes. String and number tokens keep their source text; `literals` reads them. A list of plain numbers is one
token, so that a statement with a vector of hundreds of elements in it is read in well under a millisecond.
"""

import re
from typing import Any

from vicinal.errors import need
from vicinal.sql.faults import fault

_NUMBER = r"(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)[a-zA-Z]*"

_TOKEN = re.compile(
    rf"""
    (?P<blank>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)
  | (?P<list>\[\s*-?\s*{_NUMBER}(?:\s*,\s*-?\s*{_NUMBER})*\s*,?\s*\])
  | (?P<number>{_NUMBER})
  | (?P<string>(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|@@(?:[^@]|@(?!@)|@@@@)*@@)(?:[a-zA-Z]+\b)?)
  | (?P<name>\$[A-Za-z_]\w*)
  | (?P<quoted>`(?:[^`\\]|\\.)*`)
  | (?P<word>[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)*)
  | (?P<struct><\|)
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

_tables: dict[str, Any] = {}


def _lookup() -> dict[str, Any]:
    """Which text is which of sqlglot's token types, made on first use."""
    if not _tables:
        tokens = need("sqlglot.tokens", extra="sql")
        kinds = tokens.TokenType
        words = {word: tokens.Tokenizer.KEYWORDS[word] for word in _WORDS if word in tokens.Tokenizer.KEYWORDS}
        words |= {"UPSERT": kinds.INSERT, "REPLACE": kinds.REPLACE, "PRAGMA": kinds.PRAGMA, "DECLARE": kinds.DECLARE}
        signs = {**tokens.Tokenizer.SINGLE_TOKENS, **tokens.Tokenizer.KEYWORDS, "->": kinds.ARROW, "??": kinds.DQMARK}
        _tables.update(words=words, signs=signs, kinds=kinds, token=tokens.Token)
    return _tables


def tokenize(text: str) -> list[list[Any]]:
    """The tokens of each statement, blanks and comments left out; a semicolon within braces stays within.

    Raises    SqlError where a character begins no token, or a string or comment has no end.
    """
    lookup = _lookup()
    kinds, token, words, signs = lookup["kinds"], lookup["token"], lookup["words"], lookup["signs"]
    statements: list[list[Any]] = [[]]
    position, depth, line, line_start = 0, 0, 1, 0
    match = _TOKEN.match
    while position < len(text):
        found = match(text, position)
        if found is None:
            raise fault(text, position, _no_token(text, position))
        group, value, end = found.lastgroup, found[0], found.end()
        start, position = position, end
        column = start - line_start + 1
        if group == "struct":
            raise fault(text, start, "a struct, <|...|>, is outside the subset")
        if group != "blank":
            if group == "sign":
                kind = signs[value]
                if value == "{":
                    depth += 1
                elif value == "}":
                    depth -= 1
                elif value == ";":
                    if depth <= 0:
                        statements.append([])
                        continue
                    kind = kinds.BLOCK_END
            elif group == "word":
                pair = _PAIRS.match(text, start)
                if pair:
                    value = " ".join(pair[0].upper().split())
                    kind, position = signs[value], pair.end()
                elif "::" in value:
                    value, kind = re.sub(r"\s+", "", value), kinds.VAR
                else:
                    kind = words.get(value.upper(), kinds.VAR)
            else:
                if group == "list" and statements[-1] and statements[-1][-1].token_type in _subscripted(kinds):
                    # A subscript, x[0], and no list.
                    value, position = "[", start + 1
                    kind = kinds.L_BRACKET
                else:
                    kind = {
                        "list": kinds.HEREDOC_STRING,
                        "number": kinds.NUMBER,
                        "string": kinds.STRING,
                        "name": kinds.PARAMETER,
                        "quoted": kinds.IDENTIFIER,
                    }[group or ""]
                    if group == "name":
                        value = value[1:]
                    elif group == "quoted":
                        value = _unquoted(text, start, value)
            statements[-1].append(token(kind, value, line, column, start, position - 1))
        newlines = text.count("\n", start, position)
        if newlines:
            line += newlines
            line_start = text.rfind("\n", start, position) + 1
    return [statement for statement in statements if statement]


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
    name = _lookup()["kinds"].PARAMETER
    return list(dict.fromkeys(one.text for statement in tokenize(text) for one in statement if one.token_type == name))


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


def _subscripted(kinds: Any) -> tuple[Any, ...]:
    return kinds.VAR, kinds.IDENTIFIER, kinds.PARAMETER, kinds.HEREDOC_STRING, kinds.R_PAREN, kinds.R_BRACKET


def _no_token(text: str, position: int) -> str:
    for mark, what in (
        ('"', "string"),
        ("'", "string"),
        ("`", "name in backticks"),
        ("/*", "comment"),
        ("@@", "string"),
    ):
        if text.startswith(mark, position):
            return f"this {what} has no end"
    return f"unexpected character {text[position]!r}"


def _unquoted(text: str, start: int, value: str) -> str:
    from vicinal.sql.parse.literals import unescape

    try:
        return unescape(value[1:-1]).decode("utf-8")
    except ValueError as error:
        raise fault(text, start, str(error)) from None
