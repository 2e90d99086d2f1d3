"""The functions of numbers."""

from vicinal.sql.compile import builders
from vicinal.sql.compile.functions.function import Function

FUNCTIONS = (
    Function("Abs", "(number) -> number", "The absolute value.", "Abs(-3)", "3", builders.absolute),
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
)
