"""The one table of functions: what the language accepts, the reference page says, and the tests run.

`example` is an expression; `answer` is what `vicinal sql` prints for it. `make` gives the DuckDB expression from the
statement's `Expressions`, the call's node and its lowered arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.sql.types import DOUBLE, FLOAT, INT64, NULL, UINT64, Type, list_of
from vicinal.sql.vectors import binary

if TYPE_CHECKING:
    from vicinal.sql.compile.conversion import Expression
    from vicinal.sql.compile.expressions import Expressions

Make = Callable[["Expressions", Any, list["Expression"]], "Expression"]


@dataclass(frozen=True)
class Function:
    """A function: its name, signature, what it gives, an example and its answer, and how it is lowered."""

    name: str
    call: str
    help: str
    example: str
    answer: str
    make: Make
    counts: tuple[int, ...] = (1,)  # how many arguments it takes
    aggregate: bool = False
    window: bool = False


def _encode(form: str) -> Make:
    about = binary.find_format(form)

    def make(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
        (vector,) = args
        kind = Type("String", tag=about.tag)
        if vector.kind == NULL:
            return low.constant(None, kind)
        if vector.kind.item is None or not (vector.kind.item.numeric or vector.kind.item == NULL):
            raise low.error(node, f"expected a list of numbers, found {vector.kind}")
        if not vector.known:
            item = Type("Double") if form == "Bit" else Type(about.element)
            if form != "Bit" and vector.kind.item != item and not (item == FLOAT and vector.kind.item.numeric):
                raise low.error(node, f"expected List<{item}>, found {vector.kind}; use CAST or ListMap")
            lists = low.sql(low.converted(vector, list_of(item), node))
            return low.made(f"knn_encode_{form.lower()}({lists})", kind, args)
        try:
            return low.constant(None if vector.value is None else binary.to_binary(vector.value, form), kind)
        except UsageError as error:
            raise low.error(node, str(error)) from None

    return make


def _decode(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    string = low.bytes(args[0], node)
    if string.known:
        return low.constant(binary.from_binary(string.value), list_of(FLOAT))
    return low.made(f"knn_decode({low.sql(string)})", list_of(FLOAT), args)


def _distance(name: str) -> Make:
    def make(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
        tags = [one.kind.tag for one in args]
        a, b = (low.bytes(one, node) for one in args)
        if tags[0] and tags[1] and tags[0] != tags[1]:
            raise low.error(node, f"Arguments should have same tags, but '{tags[0]}' is not equal to '{tags[1]}'")
        if a.known and b.known:
            return low.constant(_distance_of_two(name, a.value, b.value), FLOAT)
        if a.known:
            a, b = b, a
        if b.known:
            return low.made(f"knn_{name}_to({low.sql(a)}, {low.target(b.value)})", FLOAT, args)
        return low.made(f"knn_{name}({low.sql(a)}, {low.sql(b)})", FLOAT, args)

    return make


def _distance_of_two(name: str, a: bytes | None, b: bytes | None) -> float | None:
    import pyarrow

    columns = [pyarrow.array([one], pyarrow.binary()) for one in (a, b)]
    return binary.distance_column(name, columns[0], columns[1])[0].as_py()


def _untag(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    value, tag = args
    if not tag.known or not isinstance(tag.value, bytes):
        raise low.error(node, "the tag must be a string literal")
    wanted = tag.value.decode("utf-8", "replace")
    if value.kind.tag != wanted and value.kind != NULL:
        raise low.error(node, f"Untag: expected a value tagged {wanted!r}, found {value.kind}")
    return low.retyped(value, value.kind.untagged)


def _as_tagged(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    value, tag = args
    if not tag.known or not isinstance(tag.value, bytes):
        raise low.error(node, "the tag must be a string literal")
    if value.kind.name != "String":
        raise low.error(node, f"AsTagged takes a String here, found {value.kind}")
    return low.retyped(value, Type("String", tag=tag.value.decode("utf-8", "replace")))


def _math(sql: str) -> Make:
    def make(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
        values = [low.sql(low.number(one, DOUBLE, node)) for one in args]
        return low.made(sql.format(*values), DOUBLE, args)

    return make


def _abs(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    if not args[0].kind.numeric:
        raise low.error(node, f"expected a number, found {args[0].kind}")
    return low.made(f"abs({low.sql(args[0])})", args[0].kind, args)


def _if(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    condition = low.condition(args[0], node)
    branches = args[1:] if len(args) == 3 else [args[1], low.constant(None, NULL)]
    kind = low.common(branches, node)
    yes, no = (low.sql(low.converted(one, kind, node)) for one in branches)
    return low.made(f"CASE WHEN {condition} THEN {yes} ELSE {no} END", kind, args)


def _coalesce(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    kind = low.common(args, node)
    return low.made(f"coalesce({', '.join(low.sql(low.converted(one, kind, node)) for one in args)})", kind, args)


def _length(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    kind = Type("Uint32")
    if args[0].kind.name == "Utf8":
        return low.made(f"CAST(strlen({low.sql(args[0])}) AS UINTEGER)", kind, args)
    return low.made(f"CAST(octet_length({low.sql(low.bytes(args[0], node))}) AS UINTEGER)", kind, args)


def _same(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    return args[0]


def _list_map(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    values, function = args
    if values.kind.item is None:
        raise low.error(node, f"ListMap: expected a list, found {values.kind}")
    body, variable = low.applied(function, values.kind.item, node)
    return low.made(
        f"list_transform({low.sql(values)}, lambda {variable}: {low.sql(body)})", list_of(body.kind), [values]
    )


def _list_length(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    if args[0].kind.item is None:
        raise low.error(node, f"ListLength: expected a list, found {args[0].kind}")
    return low.made(f"CAST(len({low.sql(args[0])}) AS UBIGINT)", UINT64, args)


def _list_replicate(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    value, times = args
    if not times.kind.whole:
        raise low.error(node, f"ListReplicate: expected a whole number, found {times.kind}")
    count, one = low.sql(times), low.sql(value)
    return low.made(f"list_transform(range({count}), lambda _: {one})", list_of(value.kind), args)


def _list_flatten(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    kind = args[0].kind
    if kind.item is None or kind.item.item is None:
        raise low.error(node, f"ListFlatten: expected a list of lists, found {kind}")
    return low.made(f"flatten({low.sql(args[0])})", kind.item, args)


def _as_list(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    return low.listed(args, node)


def _range(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    if not all(one.known and one.kind.numeric for one in args):
        raise low.error(node, "ListFromRange takes number literals here")
    kind = low.common(args, node)
    start, end, *step = (one.value for one in args)
    values = np.arange(start, end, *(step or [1]))
    return low.constant(values.astype(np.float32 if kind == FLOAT else values.dtype), list_of(kind))


def _time(name: str) -> Make:
    def make(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
        if not args[0].known or args[0].kind.name != "String":
            raise low.error(node, f"{name} takes a string literal")
        return low.time(args[0], Type(name), node)

    return make


def _json(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    if not args[0].known or not isinstance(args[0].value, bytes):
        raise low.error(node, "Json takes a string literal")
    return low.converted(args[0], Type("Json"), node)


def _count(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    return low.made(f"CAST(count({low.distinct(node)}{low.sql(args[0]) if args else '*'}) AS UBIGINT)", UINT64, args)


def _count_if(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    return low.made(f"CAST(count_if({low.condition(args[0], node)}) AS UBIGINT)", UINT64, args)


def _sum(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    kind = args[0].kind
    if not kind.numeric:
        raise low.error(node, f"SUM: expected a number, found {kind}")
    total = DOUBLE if kind.real else UINT64 if kind.name.startswith("U") else INT64
    return low.made(f"CAST(sum({low.distinct(node)}{low.sql(args[0])}) AS {total.duck})", total, args)


def _avg(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
    return low.made(f"avg({low.distinct(node)}{low.sql(low.number(args[0], DOUBLE, node))})", DOUBLE, args)


def _keeping(sql: str) -> Make:
    def make(low: "Expressions", node: Any, args: list["Expression"]) -> "Expression":
        if sql in ("min", "max") and args[0].kind.item is not None:
            raise low.error(node, f"{sql.upper()} of {args[0].kind} is outside the subset")
        return low.made(f"{sql}({low.sql(args[0])})", args[0].kind.untagged, args)

    return make


def _rank(sql: str) -> Make:
    return lambda low, node, args: low.made(f"{sql}()", UINT64, args)


_A, _B = "Knn::ToBinaryStringFloat([1.f, 2.f, 3.f])", "Knn::ToBinaryStringFloat([4.f, 5.f, 6.f])"
_BYTES = "Vector as a byte string, format {}: {}."

FUNCTIONS = (
    Function(
        "Knn::ToBinaryStringFloat",
        '(List<Float>) -> Tagged<String, "FloatVector">',
        _BYTES.format(1, "4 bytes an element"),
        "Knn::ToBinaryStringFloat([1.f, -2.f])",
        r'"\x00\x00\x80?\x00\x00\x00\xc0\x01"',
        _encode("Float"),
    ),
    Function(
        "Knn::ToBinaryStringUint8",
        '(List<Uint8>) -> Tagged<String, "Uint8Vector">',
        _BYTES.format(2, "1 byte an element"),
        "Knn::ToBinaryStringUint8([1ut, 200ut])",
        r'"\x01\xc8\x02"',
        _encode("Uint8"),
    ),
    Function(
        "Knn::ToBinaryStringInt8",
        '(List<Int8>) -> Tagged<String, "Int8Vector">',
        _BYTES.format(3, "1 byte an element"),
        "Knn::ToBinaryStringInt8([1t, -2t])",
        r'"\x01\xfe\x03"',
        _encode("Int8"),
    ),
    Function(
        "Knn::ToBinaryStringFloat16",
        '(List<Float>) -> Tagged<String, "Float16Vector">',
        _BYTES.format(4, "IEEE half precision, 2 bytes an element, rounded to the nearest"),
        "Knn::ToBinaryStringFloat16([1.f, -2.f])",
        r'"\x00<\x00\xc0\x04"',
        _encode("Float16"),
    ),
    Function(
        "Knn::ToBinaryStringBFloat16",
        '(List<Float>) -> Tagged<String, "BFloat16Vector">',
        _BYTES.format(5, "the upper half of a Float, 2 bytes an element, rounded to the nearest"),
        "Knn::ToBinaryStringBFloat16([1.f, -2.f])",
        r'"\x80?\x00\xc0\x05"',
        _encode("BFloat16"),
    ),
    Function(
        "Knn::ToBinaryStringBit",
        '(List<Double | Float | Uint8 | Int8>) -> Tagged<String, "BitVector">',
        _BYTES.format(10, "1 bit an element, 1 where it is above 0; then a byte with the number of unused bits"),
        "Knn::ToBinaryStringBit([1.f, -2.f, 3.f])",
        r'"\x05\x05\n"',
        _encode("Bit"),
    ),
    Function(
        "Knn::ToBinaryString",
        '(List<Float>) -> Tagged<String, "FloatVector">',
        "The earlier name of Knn::ToBinaryStringFloat.",
        "Knn::ToBinaryString([1.f, -2.f]) = Knn::ToBinaryStringFloat([1.f, -2.f])",
        "true",
        _encode("Float"),
    ),
    Function(
        "Knn::FloatFromBinaryString",
        "(String) -> List<Float>?",
        "A byte string's elements, of any format; NULL for an unknown format and for no elements.",
        "Knn::FloatFromBinaryString(Knn::ToBinaryStringInt8([1t, -2t]))",
        "[1, -2]",
        _decode,
    ),
    Function(
        "Knn::FromBinaryString",
        "(String) -> List<Float>?",
        "The earlier name of Knn::FloatFromBinaryString.",
        'Knn::FromBinaryString("Invalid")',
        "NULL",
        _decode,
    ),
    Function(
        "Knn::InnerProductSimilarity",
        "(String, String) -> Float?",
        "The sum of products; high is close.",
        f"Knn::InnerProductSimilarity({_A}, {_B})",
        "32",
        _distance("InnerProductSimilarity"),
        (2,),
    ),
    Function(
        "Knn::CosineSimilarity",
        "(String, String) -> Float?",
        "The cosine of the angle, 1 where a vector is zero; high is close.",
        f"Knn::CosineSimilarity({_A}, {_B})",
        "0.9746319",
        _distance("CosineSimilarity"),
        (2,),
    ),
    Function(
        "Knn::CosineDistance",
        "(String, String) -> Float?",
        "1 - CosineSimilarity.",
        f"Knn::CosineDistance({_A}, {_B})",
        "0.025368094",
        _distance("CosineDistance"),
        (2,),
    ),
    Function(
        "Knn::EuclideanDistance",
        "(String, String) -> Float?",
        "The root of the sum of squared differences; rounded down to a whole number for Uint8, Int8 and Bit vectors.",
        f"Knn::EuclideanDistance({_A}, {_B})",
        "5.196152",
        _distance("EuclideanDistance"),
        (2,),
    ),
    Function(
        "Knn::ManhattanDistance",
        "(String, String) -> Float?",
        "The sum of absolute differences.",
        f"Knn::ManhattanDistance({_A}, {_B})",
        "9",
        _distance("ManhattanDistance"),
        (2,),
    ),
    Function(
        "Untag",
        "(Tagged<T, tag>, tag) -> T",
        "The value without its tag, as a table keeps it.",
        'Length(Untag(Knn::ToBinaryStringFloat([1.f]), "FloatVector"))',
        "5",
        _untag,
        (2,),
    ),
    Function(
        "AsTagged",
        "(String, tag) -> Tagged<String, tag>",
        "The value with a tag.",
        'Length(AsTagged("ab", "FloatVector"))',
        "2",
        _as_tagged,
        (2,),
    ),
    Function("Just", "(T) -> T?", "The value itself: every value here may be NULL.", "Just(1)", "1", _same),
    Function(
        "Unwrap",
        "(T?) -> T",
        "The value itself; NULL is an error.",
        "Unwrap(Just(1))",
        "1",
        lambda low, node, args: low.unwrapped(args),
        (1, 2),
    ),
    Function(
        "If",
        "(Bool, T, T) -> T",
        "The second argument where the first is true, else the third, else NULL.",
        "If(1 < 2, 10, 20)",
        "10",
        _if,
        (2, 3),
    ),
    Function(
        "Coalesce",
        "(T?, ...) -> T?",
        "The first argument that is not NULL; `a ?? b` is the same.",
        "Coalesce(NULL, 2, 3)",
        "2",
        _coalesce,
        (),
    ),
    Function("Nvl", "(T?, T) -> T", "The same as Coalesce.", "Nvl(NULL, 2)", "2", _coalesce, (2,)),
    Function("Length", "(String | Utf8) -> Uint32", "The number of bytes.", 'Length("Williams")', "8", _length),
    Function("Len", "(String | Utf8) -> Uint32", "The same as Length.", 'Len("é"u)', "2", _length),
    Function("Abs", "(number) -> number", "The absolute value.", "Abs(-3)", "3", _abs),
    Function(
        "ListMap",
        "(List<T>, ($x) -> U) -> List<U>",
        "The lambda's value of each element.",
        "ListMap([1, 2, 3], ($x) -> ($x * 10))",
        "[10, 20, 30]",
        _list_map,
        (2,),
    ),
    Function(
        "ListLength", "(List<T>) -> Uint64", "The number of elements.", "ListLength([1, 2, 3])", "3", _list_length
    ),
    Function(
        "ListReplicate",
        "(T, count) -> List<T>",
        "A value so many times.",
        "ListReplicate(1.5f, 3)",
        "[1.5, 1.5, 1.5]",
        _list_replicate,
        (2,),
    ),
    Function(
        "ListFlatten",
        "(List<List<T>>) -> List<T>",
        "The lists' elements as one list.",
        "ListFlatten([[1, 2], [3]])",
        "[1, 2, 3]",
        _list_flatten,
    ),
    Function(
        "ListFromRange",
        "(start, end[, step]) -> List",
        "Numbers from start, below end.",
        "ListFromRange(1, 4)",
        "[1, 2, 3]",
        _range,
        (2, 3),
    ),
    Function(
        "AsList",
        "(T, ...) -> List<T>",
        "A list of its arguments; `[a, b]` is the same.",
        "AsList(1, 2 + 3)",
        "[1, 5]",
        _as_list,
        (),
    ),
    Function(
        "Math::Round",
        "(Double) -> Double",
        "The nearest whole number, halves away from zero.",
        "Math::Round(2.5)",
        "3",
        _math("round({0})"),
    ),
    Function(
        "Math::Floor",
        "(Double) -> Double",
        "The whole number at or below.",
        "Math::Floor(-2.5)",
        "-3",
        _math("floor({0})"),
    ),
    Function(
        "Math::Ceil", "(Double) -> Double", "The whole number at or above.", "Math::Ceil(2.1)", "3", _math("ceil({0})")
    ),
    Function(
        "Math::Trunc", "(Double) -> Double", "Without the fraction.", "Math::Trunc(-2.7)", "-2", _math("trunc({0})")
    ),
    Function("Math::Abs", "(Double) -> Double", "The absolute value.", "Math::Abs(-2.5)", "2.5", _math("abs({0})")),
    Function(
        "Math::Sqrt",
        "(Double) -> Double",
        "The square root, NaN below 0.",
        "Math::Sqrt(16.0)",
        "4",
        _math("(CASE WHEN {0} < 0 THEN 'nan'::DOUBLE ELSE sqrt(greatest({0}, 0)) END)"),
    ),
    Function("Math::Exp", "(Double) -> Double", "e to the power.", "Math::Exp(0.0)", "1", _math("exp({0})")),
    Function(
        "Math::Pow",
        "(Double, Double) -> Double",
        "A power.",
        "Math::Pow(2.0, 10.0)",
        "1024",
        _math("pow({0}, {1})"),
        (2,),
    ),
    Function("Date", "(literal) -> Date", "A day: YYYY-MM-DD.", 'Date("2024-02-29")', "2024-02-29", _time("Date")),
    Function(
        "Datetime",
        "(literal) -> Datetime",
        "A second: YYYY-MM-DDThh:mm:ssZ.",
        'Datetime("2024-02-29T12:30:00Z")',
        "2024-02-29T12:30:00Z",
        _time("Datetime"),
    ),
    Function(
        "Timestamp",
        "(literal) -> Timestamp",
        "A microsecond: YYYY-MM-DDThh:mm:ss.ffffffZ.",
        'Timestamp("2024-02-29T12:30:00.5Z")',
        "2024-02-29T12:30:00.500000Z",
        _time("Timestamp"),
    ),
    Function("Json", "(literal) -> Json", "JSON, checked.", """Json('{"a": 1}')""", '{"a": 1}', _json),
    Function(
        "Count",
        "(* | T) -> Uint64",
        "How many rows, or how many are not NULL; DISTINCT counts values once.",
        "Count(*)",
        "1",
        _count,
        (0, 1),
        aggregate=True,
    ),
    Function("Count_If", "(Bool) -> Uint64", "How many are true.", "Count_If(1 < 2)", "1", _count_if, aggregate=True),
    Function("Sum", "(number) -> Int64 | Uint64 | Double", "The sum.", "Sum(2)", "2", _sum, aggregate=True),
    Function("Avg", "(number) -> Double", "The mean.", "Avg(3)", "3", _avg, aggregate=True),
    Function("Min", "(T) -> T", "The least.", "Min(3)", "3", _keeping("min"), aggregate=True),
    Function("Max", "(T) -> T", "The greatest.", "Max(3)", "3", _keeping("max"), aggregate=True),
    Function("Some", "(T) -> T", "Any one that is not NULL.", "Some(3)", "3", _keeping("any_value"), aggregate=True),
    Function(
        "Row_Number",
        "() OVER (...) -> Uint64",
        "The row's place in its window, from 1.",
        "Row_Number() OVER (ORDER BY 1)",
        "1",
        _rank("row_number"),
        (0,),
        window=True,
    ),
    Function(
        "Rank",
        "() OVER (...) -> Uint64",
        "The place, the same for ties, with gaps.",
        "Rank() OVER (ORDER BY 1)",
        "1",
        _rank("rank"),
        (0,),
        window=True,
    ),
    Function(
        "Dense_Rank",
        "() OVER (...) -> Uint64",
        "The place, the same for ties, without gaps.",
        "Dense_Rank() OVER (ORDER BY 1)",
        "1",
        _rank("dense_rank"),
        (0,),
        window=True,
    ),
)
# Of a module the names are as they stand; a built-in is found in any case.
BY_NAME = {one.name if "::" in one.name else one.name.lower(): one for one in FUNCTIONS}

DISTANCES = ("InnerProductSimilarity", "CosineSimilarity", "CosineDistance", "EuclideanDistance", "ManhattanDistance")


def find(name: str) -> Function | None:
    """The function of that name; `listmap` finds ListMap, but `knn::x` finds nothing."""
    return BY_NAME.get(name if "::" in name else name.lower())
