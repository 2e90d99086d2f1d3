"""Data sets are read as they were written, and what is wrong is said with file and line."""

import csv
import gc
import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vicinal.data import formats, tables
from vicinal.errors import DataError, UsageError
from workplace import read_table


def ids_of(path: Path, content: str | bytes) -> tuple[list, list[str]]:
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    ids, warnings = tables.read_ids(path)
    return ids, [warning.removeprefix(f"{path}: ") for warning in warnings]


def fault(path: Path, content: str | bytes) -> str:
    """What is said of a file, without its name: `2: not valid JSON`."""
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        tables.read_ids(path)
    assert str(caught.value).startswith(f"{path}:") and "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}:")


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    return tmp_path / "d.jsonl"


@pytest.mark.parametrize(
    "content",
    [
        '{"id": 1}\n{"id": "a"}\n',
        '{"id": 1}\n{"id": "a"}',
        '{"id": 1}\r\n{"id": "a"}\r\n',
        '\ufeff{"id": 1}\n{"id": "a"}\n',
        '\ufeff{"id": 1}\r\n{"id": "a"}\r\n\r\n',
        '{"id": 1}\n{"id": "a"}\n\n \t\n\n',
        '  {"id": 1}  \n\t{"id": "a", "text": "\u2028 \u0085 in a line"}\n',
    ],
)
def test_line_ends_marks_and_blank_ends_are_read(jsonl: Path, content: str) -> None:
    assert ids_of(jsonl, content) == ([1, "a"], [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"id": 1}\n\n{"id": 2}\n', "2: blank line in the middle of the data; remove it"),
        ('\n{"id": 1}\n', "1: blank line in the middle of the data; remove it"),
        ('{"id": 1}\n \n\n{"id": 2}\n', "2: blank line in the middle of the data; remove it"),
        ('{"id": 1}\n[1]\n', "2: expected a JSON object, found an array"),
        ('{"id": 1}\n"a"\n', "2: expected a JSON object, found a string"),
        ('{"id": 1}\n1.5\n', "2: expected a JSON object, found a number"),
        ('{"id": 1}\ntrue\n', "2: expected a JSON object, found true or false"),
        ("null\n", "1: expected a JSON object, found null"),
        ('{"id": 1}\n{"id": 2\n', "2: not valid JSON: column "),
        ('{"id": 1}\n{"id": 2} {"id": 3}\n', "2: not valid JSON: column 11: Extra data"),
        ("{'id': 1}\n", "1: not valid JSON: column 2: Expecting property name"),
        ('{"id": ' + "9" * 5000 + "}\n", "1: not valid JSON: Exceeds the limit"),
        ('{"id": 1, "x": ' + "[" * 200_000, "1: nested too deeply to be read"),
        ('{"id": 1}\n{"id": 2.0}\n', "2: id: expected a whole number or a string, found 2.0"),
        ('{"id": 1e5}\n', "1: id: expected a whole number or a string, found 100000.0"),
        ('{"id": true}\n', "1: id: expected a whole number or a string, found true"),
        ('{"id": NaN}\n', "1: id: expected a whole number or a string, found NaN"),
        ('{"id": [1]}\n', "1: id: expected a whole number or a string, found [1]"),
        ('{"id": {"a": 1}}\n', '1: id: expected a whole number or a string, found {"a": 1}'),
        (b'{"id": 1}\n{"id": "\xe9"}\n', "2: not UTF-8 (byte 0xe9 at column 9); convert the file to UTF-8"),
        ('{"id": 1}\n'.encode("utf-16"), "1: not UTF-8 text: it holds zero bytes, as UTF-16 does; convert the file"),
        ('{"id": 1}\n'.encode("utf-16-be"), "1: not UTF-8 text: it holds zero bytes"),
        (b"\x1f\x8b\x08 a gzip file under another name", "1: not UTF-8 (byte 0x8b at column 2)"),
    ],
)
def test_every_wrong_line_is_named_by_its_number(jsonl: Path, content: str | bytes, said: str) -> None:
    assert fault(jsonl, content).startswith(said)


def test_a_long_value_is_shortened_in_the_error(jsonl: Path) -> None:
    said = fault(jsonl, json.dumps({"id": ["word"] * 10_000}))
    assert said.startswith('1: id: expected a whole number or a string, found ["word", "word"') and len(said) < 200


def test_ids_keep_the_type_that_they_are_written_with(jsonl: Path) -> None:
    rows = [7, "7", -1, "", " a ", "ü\n\0", 2**70, 0, "\ufffd", "0"]
    assert ids_of(jsonl, "".join(json.dumps({"id": one}) + "\n" for one in rows)) == (rows, [])


def test_half_a_surrogate_pair_is_read_as_the_replacement_character_with_one_warning(jsonl: Path) -> None:
    lines = [r'{"id": "a\ud83d\ude00"}', r'{"id": "b\ud800", "\udfff": ["\uD800"]}', "{}", r'{"id": "\\ud800"}']
    jsonl.write_text("\n".join(lines))
    with pytest.warns(UserWarning, match=r"half a surrogate pair in 1 line \(2\) is read as the replacement") as raised:
        rows = [row for _, row in tables.read_rows(jsonl)]
    assert rows == [{"id": "a\U0001f600"}, {"id": "b\ufffd", "\ufffd": ["\ufffd"]}, {}, {"id": r"\ud800"}]
    assert len(raised) == 1


def test_a_line_without_an_end_is_refused_with_its_number_and_the_limit(
    jsonl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "LONGEST_LINE", 20)
    assert fault(jsonl, '{"id": 1}\n{"id": "' + "x" * 20 + '"}').startswith("2: found a line of more than 20 bytes")


def test_missing_ids_become_row_numbers_with_one_warning(jsonl: Path) -> None:
    ids, warnings = ids_of(jsonl, '{"id": "a"}\n{}\n{"id": null}\n{"id": 9}\n')
    assert (ids, warnings) == (["a", 1, 2, 9], ["2 of 4 rows have no 'id'; their row number (from 0) is used"])
    assert ids_of(jsonl, "{}\n{}\n") == ([0, 1], ["all 2 rows have no 'id'; their row number (from 0) is used"])


def test_duplicate_ids_are_kept_with_one_warning(jsonl: Path) -> None:
    content = '{"id": 1}\n{"id": "1"}\n{"id": 1}\n{"id": "b"}\n{"id": "b"}\n{"id": "b"}\n'
    assert ids_of(jsonl, content) == ([1, "1", 1, "b", "b", "b"], ["2 ids occur more than once (1, b)"])
    _, (missing, twice) = ids_of(jsonl, '{"id": 1}\n{}\n')
    assert "1 of 2 rows has no 'id'" in missing and "1 id occurs more than once (1)" in twice


def test_the_field_of_ids_can_be_named(jsonl: Path) -> None:
    jsonl.write_text('{"key": "a", "id": 1}\n')
    assert tables.read_ids(jsonl, "key") == (["a"], [])


def test_an_empty_data_set_has_no_rows(jsonl: Path) -> None:
    assert ids_of(jsonl, "") == ids_of(jsonl, "\n\n") == ([], [])


def test_texts_are_never_all_in_memory(jsonl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl.write_text('{"id": 1, "text": "a"}\n' * 3)
    alive, most = 0, 0

    class Row(dict):
        def __init__(self, row: dict) -> None:
            nonlocal alive, most
            super().__init__(row)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    read = tables.read_rows

    def counted(path: Any) -> Iterator[tuple[int, dict]]:
        for line, row in read(path):
            yield line, Row(row)

    monkeypatch.setattr(tables, "read_rows", counted)
    assert tables.read_ids(jsonl)[0] == [1, 1, 1]
    assert most <= 2


def test_a_packed_data_set_is_read_and_a_damaged_one_named(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl.gz"
    content = "".join(json.dumps({"id": i, "text": str(i * 7919)}) + "\n" for i in range(500))
    packed = gzip.compress(content.encode(), mtime=0)
    assert ids_of(path, packed) == (list(range(500)), [])
    assert ids_of(path, packed + gzip.compress(b'{"id": "next member"}\n'))[0][-1] == "next member"
    for length in (1, 5, 10, 11, len(packed) // 2, len(packed) - 9, len(packed) - 8, len(packed) - 1):
        assert "damaged gzip file" in fault(path, packed[:length])
    flipped = bytearray(packed)
    flipped[-5] ^= 1
    assert fault(path, bytes(flipped)).startswith(" damaged gzip file: CRC check failed")
    assert fault(path, content).startswith(" damaged gzip file: Not a gzipped file")
    assert fault(path, gzip.compress(b'{"id": 1}\n[]\n')) == "2: expected a JSON object, found an array"


def test_csv_cells_are_strings_and_may_hold_quotes_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    content = 'id,text\r\n1,"a ""quoted"" word, and\r\ntwo lines"\r\n"x, y",\r\n'
    assert ids_of(path, content) == (["1", "x, y"], [])
    assert list(tables.read_rows(path)) == [
        (3, {"id": "1", "text": 'a "quoted" word, and\r\ntwo lines'}),
        (4, {"id": "x, y", "text": ""}),
    ]
    assert ids_of(path, "\ufeffid\n1\n2\n\n\n") == (["1", "2"], [])
    assert ids_of(path, "text\na\nb\n") == ([0, 1], ["all 2 rows have no 'id'; their row number (from 0) is used"])
    (missing,) = ids_of(path, "id,a\n,x\n5,y\n")[1]
    assert missing == "1 of 2 rows has no 'id'; their row number (from 0) is used"
    assert tables.read_ids(path)[0] == [0, "5"]
    assert ids_of(path, "id,,\n1,x,y\n") == (["1"], [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "1: expected a header line, found nothing"),
        ("\n\n", "1: expected a header line, found a blank one"),
        ("id,a\n1,x\n2\n", "3: expected 2 cells as in the header, found 1"),
        ("id,a\n1,x,y\n", "2: expected 2 cells as in the header, found 3"),
        ("id,a\n1,x\n\n2,y\n", "3: blank line in the middle of the data; remove it"),
        ('id,a\n1,"x\n', "2: not valid CSV: unexpected end of data"),
        ('id,a\n1,"x"y\n', "2: not valid CSV: "),
        ("id,id\n1,2\n", "1: the header names id more than once; rename all but one"),
        (b"id,a\n" + b"1,x\n" * 5000 + b"2,\xe9\n" + b"3,y\n" * 5000, "5002: not UTF-8 (byte 0xe9 at column 3)"),
        ("id,a\n1,x\n".encode("utf-16"), "1: not UTF-8 text"),
    ],
)
def test_every_wrong_line_of_a_csv_is_named_by_its_number(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert fault(tmp_path / "d.csv", content).startswith(said)


def parquet(column: object, name: str = "id") -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({name: column, "text": ["t"] * len(column)}), file)  # type: ignore[arg-type]
    return file.getvalue()


def test_parquet_ids_keep_their_type(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    assert ids_of(path, parquet([3, 1, 2])) == ([3, 1, 2], [])
    assert ids_of(path, parquet(pyarrow.array([3, 2**64 - 1], pyarrow.uint64()))) == ([3, 2**64 - 1], [])
    assert ids_of(path, parquet(["3", "ü"])) == (["3", "ü"], [])
    assert ids_of(path, parquet(pyarrow.array(["a", "a"]).dictionary_encode()))[0] == ["a", "a"]
    ids, warnings = ids_of(path, parquet(pyarrow.array([5, None, 7], pyarrow.int64())))
    assert (ids, warnings) == ([5, 1, 7], ["1 of 3 rows has no 'id'; their row number (from 0) is used"])
    many = 20_000  # several batches
    assert ids_of(path, parquet(["x"] * many, "other"))[0] == list(range(many))
    assert ids_of(path, parquet(list(range(many)))) == (list(range(many)), [])


def test_what_is_wrong_with_a_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    assert fault(path, parquet([1.0, 2.0])) == "1: id: expected a whole number or a string, found 1.0"
    assert fault(path, parquet([1, 2], "id")[:-20]).startswith(" not a readable parquet file: ")
    assert fault(path, b"").startswith(" not a readable parquet file: ")
    assert fault(path, '{"id": 1}\n').startswith(" not a readable parquet file: ")
    path.unlink()
    with pytest.raises(DataError, match=r"d\.parquet: cannot be read: "):
        tables.read_ids(path)


def test_a_name_of_another_kind_is_refused_with_the_choices(tmp_path: Path) -> None:
    for name in ("d.json", "d", "d.csv.gz", "jsonl", "d.txt"):
        with pytest.raises(UsageError, match=re.escape("ends in .jsonl, .jsonl.gz, .csv, .parquet")):
            tables.read_ids(tmp_path / name)
    assert tables.suffix("DATA.JSONL") == ".jsonl"


def test_a_missing_or_unreadable_data_set_is_named(tmp_path: Path) -> None:
    for name in ("d.jsonl", "d.jsonl.gz", "d.csv"):
        with pytest.raises(DataError, match=rf"{re.escape(name)}: cannot be read: No such file"):
            tables.read_ids(tmp_path / name)
        (tmp_path / name).mkdir()
        with pytest.raises(DataError, match=rf"{re.escape(name)}: cannot be read: Is a directory"):
            tables.read_ids(tmp_path / name)


ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


@settings(deadline=None)
@given(ids=st.lists(st.integers() | ANY_TEXT, max_size=8, unique_by=lambda one: (type(one), one)), packed=st.booleans())
@example(ids=["\U0001f600", 7, "\ufffd"], packed=False)
def test_ids_come_back_from_json_lines_as_they_went(
    tmp_path_factory: pytest.TempPathFactory, ids: list, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / ("ids.jsonl.gz" if packed else "ids.jsonl")
    tables.check_table(path, ids)
    with tables.table_writer(path, overwrite=True) as table:
        for one in ids:
            table.add({"id": one, "score": 0.5})
    read, warnings = tables.read_ids(path)
    assert [(type(one), one) for one in read] == [(type(one), one) for one in ids] and not warnings
    assert read_table(path) == [{"id": one, "score": 0.5} for one in ids]


@settings(deadline=None)
@given(ids=st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=8))
def test_strings_come_back_from_csv_and_parquet_as_they_went(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    for name in ("ids.csv", "ids.parquet"):
        path = tmp_path_factory.getbasetemp() / name
        tables.check_table(path, [*ids])
        with tables.table_writer(path, overwrite=True) as table:
            for one in ids:
                table.add({"id": one, "score": 0.5})
        assert [row["id"] for row in read_table(path)] == ids


def test_the_same_scores_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        with tables.table_writer(tmp_path / name) as table:
            table.add({"id": "ü", "score": 0.1})
    content = (tmp_path / "a.jsonl.gz").read_bytes()
    assert content == (tmp_path / "b.jsonl.gz").read_bytes()
    assert content[3:8] == b"\0\0\0\0\0"  # neither a name nor a time in its header
    assert gzip.decompress(content) == '{"id": "ü", "score": 0.1}\n'.encode()


def test_ids_that_a_table_cannot_hold_are_refused_before_any_work(tmp_path: Path) -> None:
    cases: list[tuple[str, list[Any], str]] = [
        ("x.parquet", [1, "a"], "a parquet column has one type, but the ids are both numbers and strings; use .jsonl"),
        ("x.parquet", [1, 2**63], "the id 9223372036854775808 is beyond 64 bits"),
        ("x.parquet", [1, -(2**63) - 1], "beyond 64 bits"),
        ("x.parquet", ["a", "\udc80"], "the id '\\udc80' is not valid Unicode; use .jsonl"),
        ("x.csv", ["a", "\udc80"], "the id '\\udc80' is not valid Unicode; use .jsonl"),
    ]
    for name, ids, said in cases:
        with pytest.raises(UsageError) as caught:
            tables.check_table(tmp_path / name, ids)
        assert said in str(caught.value)
    fine: dict[str, list[Any]] = {
        "x.csv": [1, "a", 2**70],
        "x.parquet": [2**63 - 1, -(2**63)],
        "x.jsonl": [1, "\udc80"],
    }
    for name, ids in fine.items():
        tables.check_table(tmp_path / name, ids)


def test_a_failure_while_writing_any_kind_of_table_leaves_nothing(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.jsonl.gz", "x.csv", "x.parquet"):
        with pytest.raises(RuntimeError), tables.table_writer(tmp_path / name) as table:
            table.add({"id": 1, "score": 0.5})
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_csv_output_has_a_header_and_empty_cells_for_null(tmp_path: Path) -> None:
    with tables.table_writer(tmp_path / "x.csv") as table:
        table.add({"id": 'a "b", c', "score": None, "error": "why"})
        table.add({"id": 2, "score": 0.25, "error": None})
    with open(tmp_path / "x.csv", newline="") as file:
        assert list(csv.reader(file)) == [["id", "score", "error"], ['a "b", c', "", "why"], ["2", "0.25", ""]]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_a_table_that_is_interrupted_leaves_nothing_and_prints_nothing(
    ending: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), tables.table_writer(tmp_path / f"o.{ending}") as table:
        for row in range(70_000 if ending == "parquet" else 100):  # more than a row group
            table.add({"id": row, "score": 0.5})
        raise KeyboardInterrupt
    del table
    gc.collect()
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_a_parquet_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    texts = pyarrow.array([b"ok", b"\xc7"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"id": [0, 1], "text": texts}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet: a value after row 0 cannot be read: .utf-8. codec can't decode"):
        list(tables.read_rows(tmp_path / "t.parquet"))
