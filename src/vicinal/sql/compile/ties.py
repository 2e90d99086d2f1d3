"""A total order: rows that ORDER BY leaves equal come in the order of the primary key.

Pages of LIMIT and OFFSET then hold each row once, and LIMIT 20 is the beginning of LIMIT 5000.
"""

from collections.abc import Sequence

from vicinal.sql.compile.nodes import Call, Node, Phrase, Select


def breaking(order: Sequence[Node], keys: Sequence[Node]) -> list[Node]:
    """The keys to add to an ORDER BY, those left out by which it orders already."""
    known = [one.parts[0] if isinstance(one, Phrase) else one for one in order]
    return [key for key in keys if not any(key is one or key == one for one in known)]


def aggregates(node: Node) -> bool:
    """Whether a value is about the rows of a group: an aggregate without a window, outside a SELECT within."""
    if isinstance(node, Select):
        return False
    if isinstance(node, Call) and node.rows and node.window is None:
        return True
    return any(aggregates(piece) for piece in node._pieces() if not isinstance(piece, str))
