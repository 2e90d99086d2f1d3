"""The one table of functions; the compiler, the reference page and the tests read it.

`example` is an expression; `answer` is what `vicinal sql` prints for it.
"""

import difflib
from dataclasses import dataclass

from vicinal.sql.compile import builders
from vicinal.sql.compile.builders import Builder


@dataclass(frozen=True)
class Function:
    """A function: its name, signature, what it gives, an example and its answer, and how it is compiled.

    counts    : how many arguments it takes; empty where any number
    lambdas   : whether an argument is a lambda
    aggregate : whether it is about the rows of a group
    window    : whether it needs OVER (...)
    """

    name: str
    call: str
    help: str
    example: str
    answer: str
    build: Builder
    counts: tuple[int, ...] = (1,)
    lambdas: bool = False
    aggregate: bool = False
    window: bool = False


_A, _B = "Knn::ToBinaryStringFloat([1.f, 2.f, 3.f])", "Knn::ToBinaryStringFloat([4.f, 5.f, 6.f])"
_BYTES = "Vector as a byte string, format {}: {}."

FUNCTIONS = (
    Function(
        "Knn::ToBinaryStringFloat",
        '(List<Float>) -> Tagged<String, "FloatVector">',
        _BYTES.format(1, "4 bytes an element"),
        "Knn::ToBinaryStringFloat([1.f, -2.f])",
        r'"\x00\x00\x80?\x00\x00\x00\xc0\x01"',
        builders.encode("Float"),
    ),
    Function(
        "Knn::ToBinaryStringUint8",
        '(List<Uint8>) -> Tagged<String, "Uint8Vector">',
        _BYTES.format(2, "1 byte an element"),
        "Knn::ToBinaryStringUint8([1ut, 200ut])",
        r'"\x01\xc8\x02"',
        builders.encode("Uint8"),
    ),
    Function(
        "Knn::ToBinaryStringInt8",
        '(List<Int8>) -> Tagged<String, "Int8Vector">',
        _BYTES.format(3, "1 byte an element"),
        "Knn::ToBinaryStringInt8([1t, -2t])",
        r'"\x01\xfe\x03"',
        builders.encode("Int8"),
    ),
    Function(
        "Knn::ToBinaryStringFloat16",
        '(List<Float>) -> Tagged<String, "Float16Vector">',
        _BYTES.format(4, "IEEE half precision, 2 bytes an element, rounded to the nearest"),
        "Knn::ToBinaryStringFloat16([1.f, -2.f])",
        r'"\x00<\x00\xc0\x04"',
        builders.encode("Float16"),
    ),
    Function(
        "Knn::ToBinaryStringBFloat16",
        '(List<Float>) -> Tagged<String, "BFloat16Vector">',
        _BYTES.format(5, "the upper half of a Float, 2 bytes an element, rounded to the nearest"),
        "Knn::ToBinaryStringBFloat16([1.f, -2.f])",
        r'"\x80?\x00\xc0\x05"',
        builders.encode("BFloat16"),
    ),
    Function(
        "Knn::ToBinaryStringBit",
        '(List<Double | Float | Uint8 | Int8>) -> Tagged<String, "BitVector">',
        _BYTES.format(10, "1 bit an element, 1 where it is above 0; then a byte with the number of unused bits"),
        "Knn::ToBinaryStringBit([1.f, -2.f, 3.f])",
        r'"\x05\x05\n"',
        builders.encode("Bit"),
    ),
    Function(
        "Knn::ToBinaryString",
        '(List<Float>) -> Tagged<String, "FloatVector">',
        "The earlier name of Knn::ToBinaryStringFloat.",
        "Knn::ToBinaryString([1.f, -2.f]) = Knn::ToBinaryStringFloat([1.f, -2.f])",
        "true",
        builders.encode("Float"),
    ),
    Function(
        "Knn::FloatFromBinaryString",
        "(String) -> List<Float>?",
        "A byte string's elements, of any format; NULL for an unknown format and for no elements.",
        "Knn::FloatFromBinaryString(Knn::ToBinaryStringInt8([1t, -2t]))",
        "[1, -2]",
        builders.decode,
    ),
    Function(
        "Knn::FromBinaryString",
        "(String) -> List<Float>?",
        "The earlier name of Knn::FloatFromBinaryString.",
        'Knn::FromBinaryString("Invalid")',
        "NULL",
        builders.decode,
    ),
    Function(
        "Knn::InnerProductSimilarity",
        "(String, String) -> Float?",
        "The sum of products; high is close.",
        f"Knn::InnerProductSimilarity({_A}, {_B})",
        "32",
        builders.distance("InnerProductSimilarity"),
        (2,),
    ),
    Function(
        "Knn::CosineSimilarity",
        "(String, String) -> Float?",
        "The cosine of the angle, 1 where a vector is zero; high is close.",
        f"Knn::CosineSimilarity({_A}, {_B})",
        "0.9746319",
        builders.distance("CosineSimilarity"),
        (2,),
    ),
    Function(
        "Knn::CosineDistance",
        "(String, String) -> Float?",
        "1 - CosineSimilarity.",
        f"Knn::CosineDistance({_A}, {_B})",
        "0.025368094",
        builders.distance("CosineDistance"),
        (2,),
    ),
    Function(
        "Knn::EuclideanDistance",
        "(String, String) -> Float?",
        "The root of the sum of squared differences; rounded down to a whole number for Uint8, Int8 and Bit vectors.",
        f"Knn::EuclideanDistance({_A}, {_B})",
        "5.196152",
        builders.distance("EuclideanDistance"),
        (2,),
    ),
    Function(
        "Knn::ManhattanDistance",
        "(String, String) -> Float?",
        "The sum of absolute differences.",
        f"Knn::ManhattanDistance({_A}, {_B})",
        "9",
        builders.distance("ManhattanDistance"),
        (2,),
    ),
    Function(
        "Untag",
        "(Tagged<T, tag>, tag) -> T",
        "The value without its tag, as a table keeps it.",
        'Length(Untag(Knn::ToBinaryStringFloat([1.f]), "FloatVector"))',
        "5",
        builders.untag,
        (2,),
    ),
    Function(
        "AsTagged",
        "(String, tag) -> Tagged<String, tag>",
        "The value with a tag.",
        'Length(AsTagged("ab", "FloatVector"))',
        "2",
        builders.as_tagged,
        (2,),
    ),
    Function("Just", "(T) -> T?", "The value itself: every value here may be NULL.", "Just(1)", "1", builders.same),
    Function(
        "Unwrap",
        "(T?) -> T",
        "The value itself; NULL is an error.",
        "Unwrap(Just(1))",
        "1",
        builders.unwrap,
        (1, 2),
    ),
    Function(
        "If",
        "(Bool, T, T) -> T",
        "The second argument where the first is true, else the third, else NULL.",
        "If(1 < 2, 10, 20)",
        "10",
        builders.conditional,
        (2, 3),
    ),
    Function(
        "Coalesce",
        "(T?, ...) -> T?",
        "The first argument that is not NULL; `a ?? b` is the same.",
        "Coalesce(NULL, 2, 3)",
        "2",
        builders.coalesce,
        (),
    ),
    Function("Nvl", "(T?, T) -> T", "The same as Coalesce.", "Nvl(NULL, 2)", "2", builders.coalesce, (2,)),
    Function("Length", "(String | Utf8) -> Uint32", "The number of bytes.", 'Length("Williams")', "8", builders.length),
    Function("Len", "(String | Utf8) -> Uint32", "The same as Length.", 'Len("é"u)', "2", builders.length),
    Function("Abs", "(number) -> number", "The absolute value.", "Abs(-3)", "3", builders.absolute),
    Function(
        "ListMap",
        "(List<T>, ($x) -> U) -> List<U>",
        "The lambda's value of each element.",
        "ListMap([1, 2, 3], ($x) -> ($x * 10))",
        "[10, 20, 30]",
        builders.list_map,
        (2,),
        lambdas=True,
    ),
    Function(
        "ListLength",
        "(List<T>) -> Uint64",
        "The number of elements.",
        "ListLength([1, 2, 3])",
        "3",
        builders.list_length,
    ),
    Function(
        "ListReplicate",
        "(T, count) -> List<T>",
        "A value so many times.",
        "ListReplicate(1.5f, 3)",
        "[1.5, 1.5, 1.5]",
        builders.list_replicate,
        (2,),
    ),
    Function(
        "ListFlatten",
        "(List<List<T>>) -> List<T>",
        "The lists' elements as one list.",
        "ListFlatten([[1, 2], [3]])",
        "[1, 2, 3]",
        builders.list_flatten,
    ),
    Function(
        "ListFromRange",
        "(start, end[, step]) -> List",
        "Numbers from start, below end.",
        "ListFromRange(1, 4)",
        "[1, 2, 3]",
        builders.list_from_range,
        (2, 3),
    ),
    Function(
        "AsList",
        "(T, ...) -> List<T>",
        "A list of its arguments; `[a, b]` is the same.",
        "AsList(1, 2 + 3)",
        "[1, 5]",
        builders.as_list,
        (),
    ),
    Function(
        "Math::Round",
        "(Double) -> Double",
        "The nearest whole number, halves away from zero.",
        "Math::Round(2.5)",
        "3",
        builders.math("round"),
    ),
    Function(
        "Math::Floor",
        "(Double) -> Double",
        "The whole number at or below.",
        "Math::Floor(-2.5)",
        "-3",
        builders.math("floor"),
    ),
    Function(
        "Math::Ceil",
        "(Double) -> Double",
        "The whole number at or above.",
        "Math::Ceil(2.1)",
        "3",
        builders.math("ceil"),
    ),
    Function(
        "Math::Trunc", "(Double) -> Double", "Without the fraction.", "Math::Trunc(-2.7)", "-2", builders.math("trunc")
    ),
    Function("Math::Abs", "(Double) -> Double", "The absolute value.", "Math::Abs(-2.5)", "2.5", builders.math("abs")),
    Function(
        "Math::Sqrt",
        "(Double) -> Double",
        "The square root, NaN below 0.",
        "Math::Sqrt(16.0)",
        "4",
        builders.square_root,
    ),
    Function("Math::Exp", "(Double) -> Double", "e to the power.", "Math::Exp(0.0)", "1", builders.math("exp")),
    Function(
        "Math::Pow",
        "(Double, Double) -> Double",
        "A power.",
        "Math::Pow(2.0, 10.0)",
        "1024",
        builders.math("pow"),
        (2,),
    ),
    Function(
        "Date", "(literal) -> Date", "A day: YYYY-MM-DD.", 'Date("2024-02-29")', "2024-02-29", builders.time("Date")
    ),
    Function(
        "Datetime",
        "(literal) -> Datetime",
        "A second: YYYY-MM-DDThh:mm:ssZ.",
        'Datetime("2024-02-29T12:30:00Z")',
        "2024-02-29T12:30:00Z",
        builders.time("Datetime"),
    ),
    Function(
        "Timestamp",
        "(literal) -> Timestamp",
        "A microsecond: YYYY-MM-DDThh:mm:ss.ffffffZ.",
        'Timestamp("2024-02-29T12:30:00.5Z")',
        "2024-02-29T12:30:00.500000Z",
        builders.time("Timestamp"),
    ),
    Function("Json", "(literal) -> Json", "JSON, checked.", """Json('{"a": 1}')""", '{"a": 1}', builders.json),
    Function(
        "Count",
        "(* | T) -> Uint64",
        "How many rows, or how many are not NULL; DISTINCT counts values once.",
        "Count(*)",
        "1",
        builders.count,
        (0, 1),
        aggregate=True,
    ),
    Function(
        "Count_If", "(Bool) -> Uint64", "How many are true.", "Count_If(1 < 2)", "1", builders.count_if, aggregate=True
    ),
    Function("Sum", "(number) -> Int64 | Uint64 | Double", "The sum.", "Sum(2)", "2", builders.total, aggregate=True),
    Function("Avg", "(number) -> Double", "The mean.", "Avg(3)", "3", builders.mean, aggregate=True),
    Function("Min", "(T) -> T", "The least.", "Min(3)", "3", builders.keeping("min"), aggregate=True),
    Function("Max", "(T) -> T", "The greatest.", "Max(3)", "3", builders.keeping("max"), aggregate=True),
    Function(
        "Some", "(T) -> T", "Any one that is not NULL.", "Some(3)", "3", builders.keeping("any_value"), aggregate=True
    ),
    Function(
        "Row_Number",
        "() OVER (...) -> Uint64",
        "The row's place in its window, from 1.",
        "Row_Number() OVER (ORDER BY 1)",
        "1",
        builders.rank("row_number"),
        (0,),
        window=True,
    ),
    Function(
        "Rank",
        "() OVER (...) -> Uint64",
        "The place, the same for ties, with gaps.",
        "Rank() OVER (ORDER BY 1)",
        "1",
        builders.rank("rank"),
        (0,),
        window=True,
    ),
    Function(
        "Dense_Rank",
        "() OVER (...) -> Uint64",
        "The place, the same for ties, without gaps.",
        "Dense_Rank() OVER (ORDER BY 1)",
        "1",
        builders.rank("dense_rank"),
        (0,),
        window=True,
    ),
)
# A module's names are case-sensitive, as in YQL; those of the other functions are not.
BY_NAME = {one.name if "::" in one.name else one.name.lower(): one for one in FUNCTIONS}


def find(name: str) -> Function | None:
    """The function of that name, or None.

    >>> find("listmap").name, find("knn::CosineDistance")
    ('ListMap', None)
    """
    return BY_NAME.get(name if "::" in name else name.lower())


def near(name: str) -> str:
    """The remedy for an unknown function: the one with the nearest name, or where all are listed.

    >>> near("knn::CosineDistance"), near("Round")
    ('did you mean Knn::CosineDistance (case-sensitive)?', 'did you mean Math::Round (case-sensitive)?')
    """
    full = {one.name.lower(): one.name for one in FUNCTIONS}
    short = {one.partition("::")[2] or one: whole for one, whole in full.items()}
    known = full if "::" in name else {**short, **full}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    if not close:
        return "docs/sql-functions.md lists the functions"
    found = known[close[0]]
    return f"did you mean {found}{' (case-sensitive)' if '::' in found else ''}?"
