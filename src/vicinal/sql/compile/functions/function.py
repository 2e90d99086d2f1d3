"""What the table says of a function."""

from dataclasses import dataclass

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
