"""Filters: the matching rows by hand, and errors for filters that cannot be parsed."""

from datetime import date, datetime
from typing import Any

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as some

import vicinal
from vicinal.errors import UsageError
from vicinal.indexes.filters import matches
from vicinal.indexes.payload import as_table

COLUMNS = {
    "size": pyarrow.array([1, 2, 3, None]),
    "kind": pyarrow.array(["a", "b", 'say "x"', None]),
    "half": pyarrow.array([0.5, 1.0, 1.5, 2.0]),
    "new": pyarrow.array([True, False, None, True]),
    "two words": pyarrow.array([1, 1, 2, 2]),
    "is": pyarrow.array([0, 1, 0, 1]),
    "day": pyarrow.array([date(2020, 1, 1), date(2021, 6, 1), None, date(2022, 1, 1)]),
    "at": pyarrow.array([datetime(2020, 1, 1, 12), datetime(2021, 6, 1), None, datetime(2022, 1, 1)]),
}


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("size = 2", [1]),
        ("size == 2", [1]),
        ("2 < size", [2]),
        ("size != 2", [0, 2]),
        ("size <> 2 and size >= 1", [0, 2]),
        ("size = -1 or half >= 1.5", [2, 3]),
        ("half = 1", [1]),
        ("half < 1e0", [0]),
        ('kind = "a"', [0]),
        ("KIND = 'a'".replace("KIND", "kind"), [0]),
        ('kind = "say ""x"""', [2]),
        ("kind = 'say \"x\"'", [2]),
        ("kind in ('a', 'b')", [0, 1]),
        ("kind NOT IN ('a')", [1, 2]),
        ("size in (1, 3)", [0, 2]),
        ("kind is null", [3]),
        ("kind is not null", [0, 1, 2]),
        ("kind like 's%'", [2]),
        ("kind not like '_'", [2]),
        ("new", [0, 3]),
        ("not new", [1]),
        ("new = false", [1]),
        ("not (size = 1 or size = 2)", [2]),
        ("not size = 1 and half > 1", [2]),
        ("size = 1 or size = 2 and new", [0]),
        ("`two words` = 2", [2, 3]),
        ("`is` = 1", [1, 3]),
        ("size = half", []),
        ("size = 1 OR new", [0, 3]),
        ("day > '2020-06-01'", [1, 3]),
        ("'2021-06-01' = day", [1]),
        ("day in ('2020-01-01', '2022-01-01')", [0, 3]),
        ("at <= '2020-01-01 12:00:00'", [0]),
    ],
)
def test_expressions(expression: str, rows: list[int]) -> None:
    assert np.flatnonzero(matches(expression, COLUMNS)).tolist() == rows


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "where: column 1 of '': expected a column or a value, found the end"),
        ("size", "where: column 5 of 'size': expected a comparison such as =, in, like or is null, found the end"),
        (
            "kind = '\udce3'",
            "where: column 9 of \"kind = '\\udce3'\": expected text that UTF-8 can hold, found '\\udce3'",
        ),
        ("size =", "where: column 7 of 'size =': expected a column or a value, found the end"),
        ("size = 2 3", "where: column 10 of 'size = 2 3': expected and, or, or the end, found '3'"),
        ("(size = 2", "where: column 10 of '(size = 2': expected ), found the end"),
        ("size in 2", "where: column 9 of 'size in 2': expected (, found '2'"),
        ("size in (half)", "expected a number or a text in quotes, found 'half'"),
        ("sise = 2", "where: column 1: unknown name 'sise': did you mean 'size'? Choose from size, kind"),
        ("size = 'a'", "where: column 1: size = 'a': the two sides cannot be compared (size: int64)"),
        ("kind > 2", "where: column 1: kind > 2: the two sides cannot be compared (kind: string)"),
        ("day > 'soon'", "where: column 1: day > 'soon': the two sides cannot be compared (day: date32[day])"),
        ("size like 'a'", "the two sides cannot be compared"),
        ("1 = 1", "where: column 1 of '1 = 1': expected a column to compare with, found '1 = 1'"),
        (
            "kind = 'a",
            'where: column 8 of "kind = \'a": expected a name, a number, a text in quotes or a sign such as =',
        ),
        ("size = 2; drop", "expected a name, a number, a text in quotes or a sign such as =, found '; drop'"),
        ("size not 2", "expected in, like or ilike after not"),
        ("(" * 300 + "size = 1" + ")" * 300, "where: more than 100 levels of parentheses and not"),
        ("not " * 300 + "new", "where: more than 100 levels of parentheses and not"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_place(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        matches(expression, COLUMNS)
    assert said in str(caught.value)


@given(some.text(alphabet="size kind=<>'\"()`,0123456789.andornotinlikeisnull", max_size=40))
def test_any_text_is_answered_or_refused(expression: str) -> None:
    try:
        assert matches(expression, COLUMNS).shape == (4,)
    except UsageError as error:
        assert str(error).startswith("where: ")


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("year > 1990", [0, 4]),
        ("year <= 1990", [2]),
        ("not year > 1990", [2]),
        ("year in (1990, 2001)", [2, 4]),
        ('year = "unknown"', [1]),
        ("year = true", [5]),
        ("year is null", [3]),
        ("1990 < year", [0, 4]),
    ],
)
def test_a_row_of_another_kind_does_not_match(where: str, rows: list[int]) -> None:
    with pytest.warns(UserWarning, match="year: its values are of several kinds"):
        table = as_table({"year": [1999, "unknown", 1990, None, 2001.0, True]}, 6)
    assert np.flatnonzero(matches(where, {"year": table["year"]})).tolist() == rows


def test_a_column_of_pandas_with_values_of_several_kinds_is_taken_as_a_list_of_them_is() -> None:
    values = [1999, "unknown", 1990, None, 2001.0, np.nan]
    with pytest.warns(UserWarning, match="year: its values are of several kinds"):
        found = as_table(pandas.DataFrame({"year": values}), 6)["year"]
    with pytest.warns(UserWarning, match="year: its values are of several kinds"):
        assert found.to_pylist() == as_table({"year": [*values[:5], None]}, 6)["year"].to_pylist()


def test_a_column_of_text_alone_is_not_compared_with_a_number() -> None:
    with pytest.raises(UsageError, match="the two sides cannot be compared"):
        matches("kind > 3", {"kind": pyarrow.array(["a", "b"])})


@pytest.mark.parametrize("kind", ["pandas", "polars", "datasets"])
def test_a_table_of_another_package_is_a_payload(kind: str) -> None:
    columns: dict[str, list[Any]] = {"id": [7, 8], "text": ["a", None]}
    made: dict[str, Any] = {
        "pandas": lambda: pandas.DataFrame(columns, index=[5, 6]),
        "polars": lambda: polars.DataFrame(columns),
        "datasets": lambda: datasets.Dataset.from_dict(columns),
    }
    assert as_table(made[kind](), 2).to_pydict() == columns
    index = vicinal.index("exact").fit([[0.0], [1.0]], payload=made[kind]())
    assert index.search([[0.9]], k=1, where='text = "a"').indices.tolist() == [[0]]
