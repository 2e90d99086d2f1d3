"""The functions of the rows of a group or of a window."""

from vicinal.sql.compile import builders
from vicinal.sql.compile.functions.function import Function

FUNCTIONS = (
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
