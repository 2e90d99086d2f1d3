"""langchain's filters: a mapping of metadata keys to values, with the operators of its FAISS store.

    {"kind": "animal"}                            equal; a key that is absent counts as None
    {"kind": ["animal", "plant"]}                 one of them
    {"year": {"$gte": 1990, "$lt": 2000}}         $eq $ne $neq $gt $gte $lt $lte $in $nin, all of them
    {"$or": [{"kind": "animal"}, {"year": 1}]}    $and $or of a list of filters, $not of one

All keys of a mapping must hold. Values that cannot be compared, such as a number and a text, do not match.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from vicinal.errors import UsageError, unknown

Predicate = Callable[[Mapping[str, Any]], bool]


def _within(found: Any, values: Any) -> bool:
    return any(found == value for value in values)


def _not_within(found: Any, values: Any) -> bool:
    return not _within(found, values)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$neq": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$in": _within,
    "$nin": _not_within,
}
COMBINE = ("$and", "$or", "$not")
SEVERAL = (list, tuple, set, frozenset)


def as_where(given: Any) -> Any:
    """A filter of langchain as a filter of a collection: a mapping becomes a function of the metadata.

    Raises
    ------
    UsageError
        It is neither a mapping, an expression, a function nor ids; or holds an unknown operator.
    """
    if isinstance(given, Mapping):
        return predicate(given)
    if given is None or callable(given) or isinstance(given, str | list | tuple):
        return given
    raise UsageError(
        f"filter: expected a mapping, a function of the metadata, an expression or ids, got {type(given).__name__}"
    )


def predicate(given: Mapping[str, Any]) -> Predicate:
    """The function of metadata that a mapping stands for.

    >>> chosen = predicate({"kind": ["a", "b"], "$not": {"n": {"$gt": 5}}})
    >>> chosen({"kind": "a", "n": 5}), chosen({"kind": "a", "n": 6}), chosen({"kind": "c"})
    (True, False, False)
    """
    parts = [_part(name, value) for name, value in given.items()]
    return lambda metadata: all(part(metadata) for part in parts)


def _part(name: str, value: Any) -> Predicate:
    if not isinstance(name, str) or not name.startswith("$"):
        return _condition(name, value)
    if name not in COMBINE:
        hint = "; it stands within a key: {'year': {'$gt': 1990}}" if name in COMPARE else ""
        raise UsageError(f"filter: {unknown('operator', name, COMBINE)}{hint}")
    if name == "$not":
        if not isinstance(value, Mapping):
            raise UsageError(f"filter: $not: expected one filter, found {value!r}")
        inner = predicate(value)
        return lambda metadata: not inner(metadata)
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise UsageError(f"filter: {name}: expected a list of filters, found {value!r}")
    every, parts = (all if name == "$and" else any), [predicate(one) for one in value]
    return lambda metadata: every(part(metadata) for part in parts)


def _condition(name: str, value: Any) -> Predicate:
    if isinstance(value, SEVERAL):
        value = {"$in": value}
    if not isinstance(value, Mapping):
        value = {"$eq": value}
    wrong = [key for key in value if key not in COMPARE]
    if wrong or not value:
        what = unknown("operator", wrong[0], COMPARE) if wrong else "expected an operator, found an empty mapping"
        raise UsageError(f"filter: {name}: {what}; a mapping is compared by {{'$eq': ...}}")
    for key in ("$in", "$nin"):
        if key in value and not isinstance(value[key], SEVERAL):
            raise UsageError(f"filter: {name}: {key}: expected a list of values, found {value[key]!r}")
    tests = [(COMPARE[key], wanted) for key, wanted in value.items()]
    return lambda metadata: all(_holds(test, metadata.get(name), wanted) for test, wanted in tests)


def _holds(test: Callable[[Any, Any], bool], found: Any, wanted: Any) -> bool:
    try:
        return bool(test(found, wanted))
    except TypeError:  # the two cannot be compared
        return False
