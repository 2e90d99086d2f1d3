"""The one table of functions; the compiler, the reference page and the tests read it.

`example` is an expression; `answer` is what `vicinal sql` prints for it.
"""

import difflib
from dataclasses import dataclass

from vicinal.sql.compile import builders, modules
from vicinal.sql.compile.builders import Builder
from vicinal.sql.types import BOOL, DOUBLE, INT64, STRING, UINT64, UTF8, list_of


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

_ONE, _TWO, _TWO_BOOL = "(String) -> String", "(String, String) -> String", "(String, String) -> Bool"
_FIND = "CASE WHEN strpos({0}, {1}) = 0 THEN -1 ELSE strlen(left({0}, strpos({0}, {1}) - 1)) END"
_REMOVE_FIRST = "regexp_replace({0}, '[' || regexp_escape({1}) || ']', '')"
_REMOVE_LAST = "reverse(regexp_replace(reverse({0}), '[' || regexp_escape({1}) || ']', ''))"

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
        "AsStruct",
        "(T AS name, ...) -> Struct<name: T, ...>",
        "A struct; `<|name: value|>` is the same.",
        "AsStruct(1 AS a, 2 AS b).b",
        "2",
        builders.same,
        (),
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
    *(
        Function(
            f"String::{name}",
            call,
            about,
            example,
            answer,
            modules.text(f"String::{name}", takes, gives, template),
            counts,
        )
        for name, call, about, example, answer, takes, gives, template, counts in (
            (
                "Contains",
                _TWO_BOOL,
                "Whether the first holds the second.",
                'String::Contains("abc", "b")',
                "true",
                "ss",
                BOOL,
                "contains({0}, {1})",
                (2,),
            ),
            (
                "StartsWith",
                _TWO_BOOL,
                "Whether the first begins with the second.",
                'String::StartsWith("abc", "a")',
                "true",
                "ss",
                BOOL,
                "starts_with({0}, {1})",
                (2,),
            ),
            (
                "EndsWith",
                _TWO_BOOL,
                "Whether the first ends with the second.",
                'String::EndsWith("abc", "c")',
                "true",
                "ss",
                BOOL,
                "ends_with({0}, {1})",
                (2,),
            ),
            (
                "Find",
                "(String, String) -> Int64",
                "Where the second begins in the first, from 0; -1 where it does not.",
                'String::Find("abc", "c")',
                "2",
                "ss",
                INT64,
                _FIND,
                (2,),
            ),
            ("ToLower", _ONE, "In lower case.", 'String::ToLower("AbC")', "abc", "s", STRING, "lower({0})", (1,)),
            ("ToUpper", _ONE, "In upper case.", 'String::ToUpper("AbC")', "ABC", "s", STRING, "upper({0})", (1,)),
            (
                "AsciiToLower",
                _ONE,
                "With A to Z in lower case.",
                'String::AsciiToLower("AbC")',
                "abc",
                "s",
                STRING,
                "translate({0}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')",
                (1,),
            ),
            (
                "AsciiToUpper",
                _ONE,
                "With a to z in upper case.",
                'String::AsciiToUpper("AbC")',
                "ABC",
                "s",
                STRING,
                "translate({0}, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')",
                (1,),
            ),
            (
                "Strip",
                _ONE,
                "Without blanks at both ends.",
                'String::Strip(" a b ")',
                "a b",
                "s",
                STRING,
                "trim({0}, chr(32) || chr(9) || chr(10) || chr(11) || chr(12) || chr(13))",
                (1,),
            ),
            (
                "ReplaceAll",
                "(String, String, String) -> String",
                "With each occurrence of the second replaced by the third.",
                'String::ReplaceAll("abab", "b", "c")',
                "acac",
                "sss",
                STRING,
                "replace({0}, {1}, {2})",
                (3,),
            ),
            (
                "RemoveAll",
                _TWO,
                "Without any of the second's characters.",
                'String::RemoveAll("abca", "ac")',
                "b",
                "ss",
                STRING,
                "translate({0}, {1}, '')",
                (2,),
            ),
            (
                "RemoveFirst",
                _TWO,
                "Without the first of the second's characters.",
                'String::RemoveFirst("[a[b", "[")',
                "a[b",
                "ss",
                STRING,
                _REMOVE_FIRST,
                (2,),
            ),
            (
                "RemoveLast",
                _TWO,
                "Without the last of the second's characters.",
                'String::RemoveLast("a]b]", "]")',
                "a]b",
                "ss",
                STRING,
                _REMOVE_LAST,
                (2,),
            ),
            (
                "SplitToList",
                "(String, String) -> List<String>",
                "The parts between the second.",
                'String::SplitToList("a,b", ",")',
                "[a, b]",
                "ss",
                list_of(STRING),
                "string_split({0}, {1})",
                (2,),
            ),
            (
                "JoinFromList",
                "(List<String>, String) -> String",
                "The elements with the second between them.",
                'String::JoinFromList(["a", "b"], "-")',
                "a-b",
                "ss",
                STRING,
                "array_to_string({0}, {1})",
                (2,),
            ),
        )
    ),
    *(
        Function(
            f"Unicode::{name}",
            call,
            about,
            example,
            answer,
            modules.text(f"Unicode::{name}", takes, gives, template),
            counts,
        )
        for name, call, about, example, answer, takes, gives, template, counts in (
            (
                "GetLength",
                "(Utf8) -> Uint64",
                "The number of characters.",
                'Unicode::GetLength("h\u00e9"u)',
                "2",
                "s",
                UINT64,
                "length({0})",
                (1,),
            ),
            (
                "ToLower",
                "(Utf8) -> Utf8",
                "In lower case.",
                'Unicode::ToLower("\u00c9"u)',
                "\u00e9",
                "s",
                UTF8,
                "lower({0})",
                (1,),
            ),
            (
                "ToUpper",
                "(Utf8) -> Utf8",
                "In upper case.",
                'Unicode::ToUpper("\u00e9"u)',
                "\u00c9",
                "s",
                UTF8,
                "upper({0})",
                (1,),
            ),
            (
                "Substring",
                "(Utf8, start, count) -> Utf8",
                "Characters from a place, from 0.",
                'Unicode::Substring("abcd"u, 1, 2)',
                "bc",
                "snn",
                UTF8,
                "substring({0}, {1} + 1, {2})",
                (3,),
            ),
            (
                "ReplaceAll",
                "(Utf8, Utf8, Utf8) -> Utf8",
                "With each occurrence of the second replaced by the third.",
                'Unicode::ReplaceAll("abab"u, "b"u, "c"u)',
                "acac",
                "sss",
                UTF8,
                "replace({0}, {1}, {2})",
                (3,),
            ),
            (
                "SplitToList",
                "(Utf8, Utf8) -> List<Utf8>",
                "The parts between the second.",
                'Unicode::SplitToList("a,b"u, ","u)',
                "[a, b]",
                "ss",
                list_of(UTF8),
                "string_split({0}, {1})",
                (2,),
            ),
            (
                "Reverse",
                "(Utf8) -> Utf8",
                "The characters in the opposite order.",
                'Unicode::Reverse("abc"u)',
                "cba",
                "s",
                UTF8,
                "reverse({0})",
                (1,),
            ),
        )
    ),
    Function(
        "Substring",
        "(String, start, count) -> String",
        "Bytes from a place, from 0.",
        'Substring("abcd", 1, 2)',
        "bc",
        modules.text("Substring", "snn", STRING, "substring({0}, {1} + 1, {2})"),
        (3,),
    ),
    Function(
        "ToBytes",
        "(Utf8 | Json) -> String",
        "The bytes.",
        'ToBytes("a"u)',
        "a",
        modules.text("ToBytes", "s", STRING, "{0}"),
        (1,),
    ),
    *(
        Function(
            f"DateTime::Get{name}",
            "(Date | Datetime | Timestamp) -> number",
            f"The {about}.",
            f'DateTime::Get{name}(Datetime("2024-02-29T12:30:05Z"))',
            answer,
            modules.part(f"DateTime::Get{name}", field),
        )
        for name, about, field, answer in (
            ("Year", "year", "year", "2024"),
            ("Month", "month", "month", "2"),
            ("DayOfMonth", "day of the month", "day", "29"),
            ("DayOfYear", "day of the year", "doy", "60"),
            ("DayOfWeek", "day of the week, 1 on Monday", "isodow", "4"),
            ("Hour", "hour", "hour", "12"),
            ("Minute", "minute", "minute", "30"),
            ("Second", "second", "second", "5"),
        )
    ),
    Function(
        "DateTime::ToSeconds",
        "(Date | Datetime | Timestamp) -> Uint32",
        "Seconds since 1970.",
        'DateTime::ToSeconds(Date("1970-01-02"))',
        "86400",
        modules.part("DateTime::ToSeconds", "epoch"),
    ),
    Function(
        "DateTime::FromSeconds",
        "(whole number) -> Timestamp",
        "The moment so many seconds after 1970.",
        "DateTime::FromSeconds(86400)",
        "1970-01-02T00:00:00.000000Z",
        modules.moment("Timestamp", "make_timestamp({0} * 1000000)"),
    ),
    *(
        Function(f"Math::{name}", "(Double) -> Double", about, f"Math::{name}({argument})", answer, builders.math(duck))
        for name, about, argument, answer, duck in (
            ("Log", "The natural logarithm.", "1.0", "0", "ln"),
            ("Log2", "The logarithm to base 2.", "8.0", "3", "log2"),
            ("Log10", "The logarithm to base 10.", "1000.0", "3", "log10"),
            ("Sin", "The sine.", "0.0", "0", "sin"),
            ("Cos", "The cosine.", "0.0", "1", "cos"),
            ("Tan", "The tangent.", "0.0", "0", "tan"),
        )
    ),
    Function(
        "ListFilter",
        "(List<T>, ($x) -> Bool) -> List<T>",
        "The elements for which the lambda is true.",
        "ListFilter([1, 2, 3], ($x) -> ($x > 1))",
        "[2, 3]",
        modules.list_filter,
        (2,),
        lambdas=True,
    ),
    Function(
        "ListZip",
        "(List<T>, List<U>, ...) -> List<Struct>",
        "Elements side by side, as structs with members `0`, `1`; as long as the shortest.",
        "ListMap(ListZip([1, 2], [3, 4]), ($x) -> ($x.`0` + $x.`1`))",
        "[4, 6]",
        modules.list_zip,
        (),
    ),
    Function(
        "ListHas",
        "(List<T>, T) -> Bool",
        "Whether a list has an element.",
        "ListHas([1, 2], 2)",
        "true",
        modules.list_has,
        (2,),
    ),
    Function(
        "ListExtend",
        "(List<T>, ...) -> List<T>",
        "The lists' elements one after another.",
        "ListExtend([1], [2, 3])",
        "[1, 2, 3]",
        modules.concat,
        (),
    ),
    *(
        Function(name, call, about, example, answer, modules.list_of_same(name, template), counts)
        for name, call, about, example, answer, template, counts in (
            (
                "ListTake",
                "(List<T>, count) -> List<T>",
                "The first elements.",
                "ListTake([1, 2, 3], 2)",
                "[1, 2]",
                "list_slice({0}, 1, {1})",
                (2,),
            ),
            (
                "ListSkip",
                "(List<T>, count) -> List<T>",
                "Without the first elements.",
                "ListSkip([1, 2, 3], 2)",
                "[3]",
                "list_slice({0}, {1} + 1, len({0}))",
                (2,),
            ),
            (
                "ListReverse",
                "(List<T>) -> List<T>",
                "In the opposite order.",
                "ListReverse([1, 2])",
                "[2, 1]",
                "list_reverse({0})",
                (1,),
            ),
            (
                "ListSort",
                "(List<T>) -> List<T>",
                "In ascending order.",
                "ListSort([2, 1])",
                "[1, 2]",
                "list_sort({0})",
                (1,),
            ),
            (
                "ListUniq",
                "(List<T>) -> List<T>",
                "Each value once, in ascending order.",
                "ListUniq([2, 1, 2])",
                "[1, 2]",
                "list_sort(list_distinct({0}))",
                (1,),
            ),
        )
    ),
    Function(
        "ListMin",
        "(List<T>) -> T",
        "The least element.",
        "ListMin([2, 1])",
        "1",
        modules.aggregate("ListMin", "list_min", lambda item: item),
    ),
    Function(
        "ListMax",
        "(List<T>) -> T",
        "The greatest element.",
        "ListMax([2, 1])",
        "2",
        modules.aggregate("ListMax", "list_max", lambda item: item),
    ),
    Function(
        "ListSum",
        "(List<number>) -> Double",
        "The sum.",
        "ListSum([2, 1])",
        "3",
        modules.aggregate("ListSum", "list_sum", lambda item: DOUBLE),
    ),
    Function(
        "ListAvg",
        "(List<number>) -> Double",
        "The mean.",
        "ListAvg([2, 1])",
        "1.5",
        modules.aggregate("ListAvg", "list_avg", lambda item: DOUBLE),
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
