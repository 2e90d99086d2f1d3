"""Functions of tagged, optional and other values."""

from vicinal.sql.compile import builders, modules
from vicinal.sql.compile.functions.function import Function
from vicinal.sql.types import STRING

FUNCTIONS = (
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
        "ToBytes",
        "(Utf8 | Json) -> String",
        "The bytes.",
        'ToBytes("a"u)',
        "a",
        modules.text("ToBytes", "s", STRING, "{0}"),
        (1,),
    ),
    Function("Json", "(literal) -> Json", "JSON, checked.", """Json('{"a": 1}')""", '{"a": 1}', builders.json),
)
