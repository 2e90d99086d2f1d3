"""The command: what it says of every wrong input, with the right exit code, and nothing left behind."""

import argparse
import json
import os
import re
import resource
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal
from vicinal.cli import COMMANDS, configuration, parser, placing
from vicinal.cli.parsing import Parser
from vicinal.errors import UsageError
from vicinal.indexes import exact
from vicinal.knn import memory
from workplace import Workplace, agree, true_scores

WHOLE = parser()
SCORE = ("score", "data.jsonl", "--embeddings", "emb.npy")


def test_k_beyond_the_other_rows_becomes_their_number_with_one_warning(work: Workplace) -> None:
    for k in (30, 31, 10**30):
        answer = work.score("-k", k)
        assert answer.code == 0
        assert answer.err == f"vicinal: warning: k = {k}, but a row has only 29 others; using k = 29\n"
        agree(answer.scores, true_scores(work.vectors, 29))
    scorers = ", ".join(f"{{name: KNNScorer, distance_metric: {m}, k: 99}}" for m in ("l1", "l2", "cosine"))
    work.write("c.yaml", f"input_path: data.jsonl\noutput_path: out\nscorers: [{scorers}]\n")
    answer = work("score", "--config", "c.yaml", "--embeddings", "emb.npy")
    assert answer.code == 0 and answer.err.count("warning") == 1
    saved = work("neighbors", "emb.npy", "-k", 99, "-o", "graph")
    assert saved.code == 0 and saved.err.count("k = 99, but a row has only 29 others; using k = 29") == 1
    again = work("score", "data.jsonl", "--neighbors", "graph", "-k", 99)
    assert again.err.count("warning") == 1 and again.scores == work.score("-k", 29).scores


@pytest.mark.parametrize("command", ["score", "neighbors"])
@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((1, 4), np.float32), "bad.npy: found shape (1, 4), expected at least 2 rows"),
        (np.ones((0, 4), np.float32), "bad.npy: found shape (0, 4), expected at least 2 rows"),
        (np.ones((30, 0), np.float32), "bad.npy: found shape (30, 0), expected at least 1 column (dim >= 1)"),
        (np.ones(30, np.float32), "bad.npy: found shape (30,), expected 2-D (rows, dim)"),
        (np.ones((30, 2, 2), np.float32), "bad.npy: found shape (30, 2, 2), expected 2-D (rows, dim)"),
        (np.float32(1), "bad.npy: found shape (), expected 2-D (rows, dim)"),
        (np.ones((30, 4), bool), "bad.npy: found dtype bool, expected float16, float32, float64 or integers"),
        (np.ones((30, 4), complex), "bad.npy: found dtype complex128, expected float16, float32, float64 or integers"),
        (np.full((30, 4), "a"), "bad.npy: found dtype <U1, expected float16, float32, float64 or integers"),
        (np.full((30, 4), None), "bad.npy: found dtype object (pickled Python objects) of shape (30, 4), expected num"),
    ],
)
def test_embeddings_that_are_no_table_of_numbers(work: Workplace, command: str, array: Any, said: str) -> None:
    work.save("bad.npy", array)
    assert said in asked(work, command, "bad.npy")


def asked(work: Workplace, command: str, embeddings: str) -> str:
    if command == "score":
        return work.refuses(3, "score", "data.jsonl", "--embeddings", embeddings, "-o", "o.jsonl")
    return work.refuses(3, "neighbors", embeddings, "-o", "graph")


@pytest.mark.parametrize("command", ["score", "neighbors"])
def test_a_file_that_is_no_whole_array(work: Workplace, command: str) -> None:
    whole = (work.folder / "emb.npy").read_bytes()
    for content, said in {
        b"": "bad.npy: empty (0 bytes), expected a .npy array",
        whole[:-1]: "bad.npy: truncated: shape (30, 4) of float32 needs 480 bytes of data, found 479",
        whole[:60]: "bad.npy: the .npy header cannot be read",
        b'{"a": 1}': "bad.npy: expected a .npy array, found a file that starts with b'{\"a\": '",
    }.items():
        work.write("bad.npy", content)
        assert said in asked(work, command, "bad.npy")


def test_counts_that_differ_are_both_named_and_nothing_is_cut(work: Workplace) -> None:
    for rows in (29, 31, 0):
        work.lines("other.jsonl", [{"id": i} for i in range(rows)])
        said = work.refuses(3, "score", "other.jsonl", "--embeddings", "emb.npy", "-o", "o.jsonl")
        assert f"other.jsonl has {rows} rows, but " in said and "emb.npy has 30; each row of the data set needs" in said


@pytest.mark.parametrize(
    ("value", "metric", "said"),
    [
        (np.nan, "euclidean", "2 rows cannot be used (2 with NaN or infinite value: 20, 70); correct or remove them"),
        (np.inf, "manhattan", "2 rows cannot be used (2 with NaN or infinite value: 20, 70); correct or remove them"),
        (-np.inf, "cosine", "2 rows cannot be used (2 with NaN or infinite value: 20, 70); correct or remove them"),
        (0, "cosine", "2 rows cannot be used (2 with zero vector, which has no direction for cosine: 20, 70); correct"),
        (
            -0.0,
            "cosine",
            "2 rows cannot be used (2 with zero vector, which has no direction for cosine: 20, 70); correct",
        ),
    ],
)
def test_rows_without_a_distance_are_counted_and_named_by_id(
    work: Workplace, value: float, metric: str, said: str
) -> None:
    vectors = work.vectors.copy()
    vectors[[2, 7]] = value
    work.save("bad.npy", vectors)
    found = work.refuses(3, "score", "data.jsonl", "--embeddings", "bad.npy", "--metric", metric, "-o", "o.jsonl")
    assert said in found and "--on-invalid null" in found
    found = work.refuses(3, "neighbors", "bad.npy", "--metric", metric, "-o", "graph")
    assert said.replace("20, 70", "2, 7") in found


def test_zero_rows_have_distances_where_the_metric_is_not_of_directions(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[[2, 7]] = 0
    work.save("zero.npy", vectors)
    agree(work.score(embeddings="zero.npy").scores, true_scores(vectors, 5))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[1]\n", "bad.jsonl:4: expected a JSON object, found an array"),
        (b"{\n", "bad.jsonl:4: not valid JSON: "),
        (b"\n", "bad.jsonl:4: blank line in the middle of the data"),
        (b'{"id": "\xff"}\n', "bad.jsonl:4: not UTF-8 (byte 0xff at column 9)"),
        (b'{"id": 1.5}\n', "bad.jsonl:4: id: expected a whole number or a string, found 1.5"),
    ],
)
def test_a_wrong_line_is_named_with_file_and_line(work: Workplace, line: bytes, said: str) -> None:
    rows = (work.folder / "data.jsonl").read_bytes().splitlines(keepends=True)
    work.write("bad.jsonl", b"".join([*rows[:3], line, *rows[4:], rows[0]]))
    assert said in work.refuses(3, "score", "bad.jsonl", "--embeddings", "emb.npy", "-o", "o.jsonl")


def test_marks_line_ends_and_blank_lines_at_the_end_are_fine(work: Workplace) -> None:
    text = (work.folder / "data.jsonl").read_text()
    work.write("d.jsonl", "\ufeff" + text.replace("\n", "\r\n") + "\r\n\n")
    answer = work.score(data="d.jsonl")
    assert (answer.code, answer.err, answer.out) == (0, "", work.score().out)


def test_missing_and_duplicate_ids_are_warned_of_once_and_every_line_is_written(work: Workplace) -> None:
    rows = [{"id": "a"}, {}, {"id": "a"}, {"id": None}, {"id": 3}, *({"id": i} for i in range(100, 125))]
    work.lines("d.jsonl", rows)
    answer = work.score(data="d.jsonl")
    assert [record["id"] for record in answer.records] == ["a", 1, "a", 3, 3, *range(100, 125)]
    agree(answer.scores, true_scores(work.vectors, 5))
    assert answer.err == (
        "vicinal: warning: d.jsonl: 2 of 30 rows have no 'id'; their row number (from 0) is used\n"
        "vicinal: warning: d.jsonl: 2 ids occur more than once (a, 3)\n"
    )
    assert work.score("-q", data="d.jsonl").err == ""
    other = work.score("--id-field", "text")
    assert [record["id"] for record in other.records] == [f"text {one}" for one in work.ids]


def test_an_output_that_exists_is_refused_before_the_work_and_replaced_on_request(work: Workplace) -> None:
    for name in ("o.jsonl", "o.csv", "o.parquet"):
        path = work.write(name, "mine")
        assert work.refuses(2, *SCORE, "-o", name) == (
            f"{name}: exists already; name another output or add --overwrite (in Python: overwrite=True)"
        )
        assert path.read_text() == "mine"
        assert work(*SCORE, "-o", name, "--overwrite").code == 0
        assert path.read_bytes() != b"mine"
    (work.folder / "graph").mkdir()
    assert "graph: exists already" in work.refuses(2, "neighbors", "emb.npy", "-o", "graph")
    (work.folder / "graph" / "thesis.txt").touch()
    said = work.refuses(2, "neighbors", "emb.npy", "-o", "graph", "--overwrite")
    assert said == "graph: holds files that vicinal did not write, so it is not replaced; name another folder"


def test_outputs_are_judged_before_any_row_is_read(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the pass was begun")

    monkeypatch.setattr(exact.Exact, "neighbors", never)
    work.write("file", "")
    (work.folder / "folder.jsonl").mkdir()
    work.lines("mixed.jsonl", [{"id": str(i) if i else 0} for i in range(30)])
    cases: dict[tuple, str] = {
        (*SCORE, "-o", "o.txt"): "o.txt: expected a name that ends in .jsonl, .jsonl.gz, .csv, .parquet",
        (*SCORE, "-o", "none/o.jsonl"): "none/o.jsonl: the folder none does not exist; make it first",
        (*SCORE, "-o", "file/o.jsonl"): "file/o.jsonl: file is a file, expected a folder",
        (*SCORE, "-o", "folder.jsonl", "--overwrite"): "folder.jsonl: expected a file's name, found a folder",
        (
            *SCORE,
            "-o",
            "data.jsonl",
            "--overwrite",
        ): "data.jsonl: is one of the inputs, and an input",
        (
            "score",
            "mixed.jsonl",
            *SCORE[2:],
            "-o",
            "o.parquet",
        ): "o.parquet: a parquet column has one type, but the ids",
        ("neighbors", "emb.npy", "-o", "none/graph"): "none/graph: the folder none does not exist; make it first",
        ("neighbors", "emb.npy", "-o", "file", "--overwrite"): "file: holds files that vicinal did not write",
    }
    for given, said in cases.items():
        assert said in work.refuses(2, *given)
    scorers = "scorers: [{name: KNNScorer, embedding_path: emb.npy}]"
    for output, said in {
        "file": "file: expected a folder for pointwise_scores.jsonl, found a file",
        "file/deep/er": "file/deep/er/pointwise_scores.jsonl: file is a file, expected a folder",
    }.items():
        work.write("c.yaml", f"input_path: data.jsonl\noutput_path: {output}\n{scorers}\n")
        assert said in work.refuses(2, "score", "--config", "c.yaml")
    (work.folder / "out").mkdir()
    (work.folder / "data.jsonl").rename(work.folder / "out" / "pointwise_scores.jsonl")
    work.write("c.yaml", f"input_path: out/pointwise_scores.jsonl\noutput_path: out\n{scorers}\n")
    assert "is one of the inputs" in work.refuses(2, "score", "--config", "c.yaml", "--overwrite")


@pytest.mark.parametrize(
    "arguments",
    [
        ("outliers", "emb.npy", "--ids", "data.jsonl:id", "-o", "data.jsonl"),
        ("classify", "emb.npy", "--labels", "data.jsonl:text", "--queries", "emb.npy", "-o", "./data.jsonl"),
        ("regress", "emb.npy", "--targets", "data.jsonl:id", "--queries", "emb.npy", "-o", "data.jsonl"),
        ("diagnose", "emb.npy", "--labels", "data.jsonl", "--html", "data.jsonl"),
        ("diagnose", "emb.npy", "--labels", "data.jsonl:text", "--write-pairs", "data.jsonl"),
        ("choose-k", "emb.npy", "--labels", "data.jsonl:text", "--picture", "emb.npy"),
        ("apply", "head", "emb.npy", "-o", "emb.npy"),
        ("select", "data.jsonl", "scores.jsonl", "--keep", "5", "-o", "scores.jsonl"),
        ("search", "index", "--queries", "emb.npy", "-o", "emb.npy"),
        ("index", "export", "emb.npy", "-o", "emb.npy"),
    ],
)
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_what_a_command_reads_it_never_overwrites(work: Workplace, arguments: tuple, overwrite: tuple) -> None:
    work.lines("scores.jsonl", [])
    before = {name: (work.folder / name).read_bytes() for name in work.files()}
    said = work.refuses(2, *arguments, *overwrite)
    assert said == f"{arguments[-1]}: is one of the inputs, and an input is never overwritten; name another output"
    assert {name: (work.folder / name).read_bytes() for name in work.files()} == before


def test_a_wrong_configuration_is_said_with_its_place(work: Workplace) -> None:
    work.write("c.yaml", "embedding_path: emb.npy\nk: five\n")
    said = work.refuses(2, "score", "data.jsonl", "--config", "c.yaml", "-o", "o.jsonl")
    assert said == 'c.yaml:2:4: k: expected a whole number above 0, got "five"'
    work.write("c.yaml", "embedding_path: emb.npy\ndistance_metric: manhatten\n")
    said = work.refuses(2, "score", "data.jsonl", "--config", "c.yaml")
    assert said.startswith("c.yaml:2:18: distance_metric: unknown metric 'manhatten': did you mean 'manhattan'?")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*SCORE, "-k", "0"), "-k: expected a whole number above 0, got 0"),
        ((*SCORE, "-k", "-5"), "-k: expected a whole number above 0, got -5"),
        ((*SCORE, "-k", "five"), '-k: expected a whole number above 0, got "five"'),
        ((*SCORE, "--threads", "0"), "--threads: expected a whole number above 0, got 0"),
        ((*SCORE, "--metric", "cosin"), "--metric: unknown metric 'cosin': did you mean 'cosine'?"),
        ((*SCORE, "--name", "IFD"), "--by: unknown scorer 'IFD': did you mean 'lid'? Choose from KNNScorer"),
        (("score", "none.jsonl", *SCORE[2:]), 'DATA: expected a file, got "none.jsonl": there is nothing at '),
        (("score", "data.txt", *SCORE[2:]), "DATA: expected a file"),
        (
            ("score", "emb.npy", *SCORE[2:]),
            "--embeddings: data holds embeddings already; give a data set or a table as",
        ),
        (("score", "data.jsonl", "--embeddings", "x"), '--embeddings: expected a file, got "x": there is nothing at '),
        (
            ("score", "data.jsonl"),
            "--embeddings: expected a .npy file with one row for each of the 30 rows of data.jsonl",
        ),
        (
            ("score", "--embeddings", "emb.npy"),
            "DATA: expected a data set or a .npy file (in Python also an array or a",
        ),
        ((*SCORE, "--input-path", "data.jsonl"), "DATA and --input-path are two names of one argument"),
        (("neighbors", "none.npy", "-o", "g"), 'DATA: expected a file, got "none.npy": there is nothing at '),
        (("neighbors", "emb.npy", "-o", "g", "-k", "0"), "-k: expected a whole number above 0, got 0"),
        (("neighbors", "emb.npy", "-o", "g", "--threads", "x"), "--threads: expected a whole number above 0"),
        (("neighbors", "emb.npy", "-o", "g", "--metric", "cosin"), "--metric: unknown metric 'cosin': did you mean"),
        (("outliers", "emb.npy", "--metric", "cosin"), "--metric: unknown metric 'cosin': did you mean 'cosine'?"),
        (("duplicates", "emb.npy", "--radius", "1", "--metric", "cosin"), "--metric: unknown metric 'cosin': did you"),
        (("neighbors", "emb.npy", "-o", "g", "--metric", "mahalanobis"), "--metric: 'mahalanobis' needs a matrix"),
    ],
)
def test_a_wrong_option_is_named(work: Workplace, arguments: tuple, said: str) -> None:
    assert said in work.refuses(2, *arguments)


def test_a_file_with_the_name_of_an_option_is_not_called_the_option(work: Workplace) -> None:
    assert work.refuses(2, *SCORE, "-o", "run/").startswith("run: expected a name that ends in .jsonl")


def test_what_is_no_plain_file_is_not_called_nothing(work: Workplace) -> None:
    os.mkfifo("pipe.jsonl")
    said = 'DATA: expected a file, got "pipe.jsonl": there is no plain file at '
    assert said in work.refuses(2, "outliers", "pipe.jsonl", "-k", 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scor",), "unknown command 'scor'; did you mean score?"),
        (("build", "emb.npy"), "unknown command 'build'; did you mean vicinal index build?"),
        (
            ("index", "search", "my.index"),
            "index: unknown action 'search'; did you mean vicinal search? Else choose from",
        ),
        (("index", "buidl"), "index: unknown action 'buidl'; did you mean build?"),
        ((*SCORE[:2], "--embedings", "emb.npy"), "score: unknown option --embedings; did you mean --embeddings?"),
        (("duplicates", "data.jsonl", "--radiu", "1"), "duplicates: unknown option --radiu; did you mean --radius?"),
        (("index", "build", "emb.npy", "--ouptut=x"), "index build: unknown option --ouptut; did you mean --output?"),
        ((*SCORE, "--zzz"), "score: unknown option --zzz; vicinal score --help lists them"),
        (
            (*SCORE, "--memory", "4G"),
            "score: unknown option --memory: it goes before the command; write vicinal --memory",
        ),
        ((*SCORE, "--on-invalid", "drop"), "score: --on-invalid: unknown value 'drop'; choose from error, null, skip"),
        ((*SCORE, "--on-invalid", "nul"), "score: --on-invalid: unknown value 'nul'; did you mean null? Choose from"),
        ((*SCORE, "--neighbors", "graph"), "score: --neighbors: not allowed with argument --embeddings"),
        (("neighbors",), "neighbors: the following arguments are required: DATA; vicinal neighbors --help shows"),
        (
            (*SCORE, "-k"),
            "score: -k/--k: expected a value (K), found nothing; write -k K; vicinal score --help describes it",
        ),
        (
            (*SCORE, "-o", "--json"),
            "score: -o/--output/--output-path: expected a value (PATH), found the option --json",
        ),
        (
            ("search", "i", "--where", "-a"),
            "search: --where: expected a value (EXPR), found '-a'; write --where=-a for that",
        ),
        (
            ("dedup", "d", "--text"),
            "dedup: --text: expected one or several values (FIELD), found nothing; write --text",
        ),
        (
            ("sql", "--tls", "cert", "-f", "s.yql"),
            "sql: --tls: expected 2 values (CERT KEY), found fewer; write --tls CERT",
        ),
        (
            ("curate", "e.npy", "--experts=a"),
            "curate: --experts: expected 2 values (FILE:FIELD FILE:FIELD), found fewer;",
        ),
        (
            (*SCORE, "--on-invalid"),
            "score: --on-invalid: expected one of error, null, skip, found nothing; write --on-inv",
        ),
        (
            ("dedup", "emb.npy", "--config", "--json"),
            "dedup: --config: expected a value (FILE), found the option --json;",
        ),
        ((*SCORE, "--json=3"), "score: --json: takes no value, found '3'; write --json alone"),
        (("score", ""), "score: DATA: expected a value, found an empty text; vicinal score --help shows what it takes"),
        (
            ("dedup", "emb.npy", "--config="),
            "dedup: --config: expected a value (FILE), found an empty text; write --config",
        ),
        (
            (*SCORE, "--by", "mean", "--by", "lof"),
            "score: --by: given twice; give it once, with commas between the values",
        ),
        (
            ("dedup", "d", "--text", "a", "--text", "b"),
            "dedup: --text: given twice; give it once, with all values behind it",
        ),
        ((*SCORE, "-k", "3", "--k", "3"), "score: -k and --k are two names of one argument; give it once"),
        ((*SCORE, "--", "-v"), "score: -v: stands behind --, where no options are; write it before --"),
        (("--memory", "1G", "--memory", "2G", *SCORE), "--memory: given twice; give it once"),
        (("--memory", "score"), "--memory: expected a size such as 4G or 500M, got 'score'"),
        (("version",), "unknown command 'version'; did you mean vicinal --version?"),
        (("-version",), "unknown option -version; did you mean --version?"),
        (("--zzz", *SCORE), "score: unknown option --zzz; vicinal score --help lists them"),
        (("--zzz", "x"), "unknown option --zzz; vicinal --help lists them"),
        (
            ("index", "--data", "x", "info", "i"),
            "index info: unknown option --data; vicinal index info --help lists them",
        ),
        (("index", "--memory", "4G", "info", "i"), "index info: unknown option --memory: it goes before the command;"),
        ((*SCORE, "--over"), "score: unknown option --over; did you mean"),
        (("kappa", "a", "b", "c"), "kappa: unexpected 'c'; vicinal kappa --help shows what it takes"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_what_the_command_does_not_know_is_named_with_what_was_meant(
    work: Workplace, arguments: tuple, said: str
) -> None:
    assert work.refuses(2, *arguments).startswith(said)


@pytest.mark.parametrize(
    ("command", "python"),
    [
        (("select", "--strategy", "k-center", "--metric", "cosine", "--keep", "3"), "Selection.take_from"),
        (("dedup", "--radius", "0.1"), "Deduplicated.take_from"),
    ],
    ids=lambda one: one if isinstance(one, str) else one[0],
)
def test_rows_of_embeddings_alone_cannot_be_copied_and_the_remedy_works(
    work: Workplace, command: tuple, python: str
) -> None:
    name, *options = command
    said = work.refuses(2, name, "emb.npy", *options, "-o", "o.jsonl")
    assert said == (
        "-o: lines are copied from a data set file, but data is emb.npy; give a data set file, and this one by "
        f"--embeddings emb.npy (in Python also: leave output out, and take the rows with {python})"
    )
    assert work(name, "data.jsonl", "--embeddings", "emb.npy", *options, "-o", "o.jsonl").code == 0


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (
            ("filter", "emb.npy", "--where", "a > 1", "-o", "o.jsonl"),
            "give a data set file (in Python also: leave output",
        ),
        (("neighbors", "emb.npy", "-o", "g", "--address", "a:1"), "give --engine ray (in Python: engine='ray'), or"),
        (
            ("neighbors", "emb.npy", "-o", "g", "--engine", "ray", "--recall", "0.9"),
            "or take --engine local (in Python: engine='local')",
        ),
        (("outliers", "emb.npy", "--matrix", "emb.npy"), "give --metric mahalanobis (in Python: metric='mahalanobis')"),
        (("learn", "emb.npy", "-o", "h"), "give one of --labels, --pairs and --joint (in Python: labels=, pairs= and"),
        (("diversity", "emb.npy", "--subset", "emb.npy"), "add one to --by (in Python: by=) that does: facility"),
        (("score", "data.jsonl", "--append", "data.jsonl"), "give both --append and --previous (in Python: append="),
        (
            ("dedup", "emb.npy", "--radius", "1", "--keep", "all", "-o", "o.jsonl"),
            "give --against (in Python: against=)",
        ),
        (
            ("dedup", "emb.npy", "--radius", "1", "--against-embeddings", "emb.npy", "-o", "o.jsonl"),
            "give --against too (in Python: against=)",
        ),
        (
            (*("select", "data.jsonl", "data.jsonl", "--by", "id", "--keep", "3", "-o", "o.jsonl"), "--link", "single"),
            "give --dedup RADIUS (in Python: dedup=), or leave link out",
        ),
        (
            ("index", "build", "emb.npy", "-o", "i", "--set", "M=8"),
            "name an index by --type (in Python: type=) to give M",
        ),
        (
            ("score", "emb.npy", "--run", "r", "-o", "o.jsonl"),
            "give a data set file with --embeddings (in Python: embed",
        ),
    ],
    ids=lambda one: one[0] + one[-2] if isinstance(one, tuple) else "",
)
def test_the_remedy_is_one_of_the_command_line(work: Workplace, arguments: tuple, remedy: str) -> None:
    assert remedy in work.refuses(2, *arguments)


@pytest.mark.parametrize(
    ("arguments", "example"),
    [
        (("-v", *SCORE), ("score", "-v", *SCORE[1:])),
        (
            ("--metric", "cosine", "neighbors", "emb.npy", "-o", "g"),
            ("neighbors", "--metric", "cosine", "emb.npy", "-o", "g"),
        ),
        (("--metric=l1", "-k3", *SCORE), ("score", "--metric=l1", "-k3", *SCORE[1:])),
        (("--memory", "4G", "-q", *SCORE), ("--memory", "4G", "score", "-q", *SCORE[1:])),
        (("-q", "--memory", "4G", *SCORE), ("--memory", "4G", "score", "-q", *SCORE[1:])),
        (("-o", "score", "neighbors", "emb.npy"), ("neighbors", "-o", "score", "emb.npy")),
        (
            ("--text", "text", "dedup", "data.jsonl", "--embeddings", "emb.npy", "--radius", "1", "-o", "o.jsonl"),
            ("dedup", "data.jsonl", "--embeddings", "emb.npy", "--radius", "1", "-o", "o.jsonl", "--text", "text"),
        ),
        (("-o", "a b", "index", "build", "emb.npy"), ("index", "build", "-o", "a b", "emb.npy")),
        (
            ("index", "--metric", "l1", "-q", "build", "emb.npy", "-o", "i"),
            ("index", "-q", "build", "--metric", "l1", "emb.npy", "-o", "i"),
        ),
        (("--format", "json", "sql", ":memory:", "SELECT 1"), ("sql", "--format", "json", ":memory:", "SELECT 1")),
        (("-v", "info"), ("info", "-v")),
    ],
    ids=lambda one: " ".join(one),
)
def test_the_command_with_its_options_where_they_belong_is_shown_and_works(
    work: Workplace, arguments: tuple, example: tuple
) -> None:
    said = work.refuses(2, *arguments)
    what = "action" if arguments[0] == "index" else "command"
    assert f": goes after the {what}; write vicinal {shlex.join(example)}" in said
    assert said.endswith(shlex.join(example)) and work(*example).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--metric", "neighbors", "emb.npy"),
            "--metric: goes after the command; write vicinal neighbors --metric NAME ...",
        ),
        (("-v",), "-v: goes after the command; write vicinal embed -v ..."),
        (("-v", "score", "x" * 100), "-v: goes after the command; write vicinal score -v ..."),
        (("--text", "a", "dedup", "x" * 100), "--text: goes after the command; write vicinal dedup ... --text a"),
        (
            ("--param", "a=1", "sql", "a.db", "SELECT\n1"),
            "--param: goes after the command; write vicinal sql --param a=1 ...",
        ),
        (("--tls", "a", "sql", "serve", "a.db"), "--tls: goes after the command; write vicinal sql --tls CERT KEY ..."),
    ],
    ids=["no value", "no command", "long", "long, several values", "lines", "too few values"],
)
def test_what_is_no_whole_command_is_shown_in_part(work: Workplace, arguments: tuple, said: str) -> None:
    assert work.refuses(2, *arguments) == said


def options_of(name: str) -> Iterator[tuple[Parser, list[str], argparse.Action, str]]:
    """The options of a command and of its actions: parser, path, action, and how it is written."""
    below: list[tuple[Any, list[str]]] = [(WHOLE[1][name], [name])]
    for own, path in below:
        below += [(one, [*path, action]) for action, one in placing.commands(own).items()]
        for action in own._actions:
            for word in action.option_strings:
                if not isinstance(action, argparse._HelpAction):
                    yield own, path, action, word


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_before_its_command_is_shown_behind_it(name: str) -> None:
    top = WHOLE[0]
    for _, path, action, word in options_of(name):
        values = ["7"] * (0 if action.nargs == 0 else action.nargs if isinstance(action.nargs, int) else 1)
        for written in ([word, *values], [f"{word}=7"])[: 1 + (len(values) == 1)]:
            with pytest.raises(UsageError, match="goes after the command; write vicinal ") as caught:
                top.refuse_misplaced([*written, *path])
            example = shlex.split(str(caught.value).partition("; write vicinal ")[2])
            assert example == [*path, *written]
            if len(path) > 1 and word not in WHOLE[1][name]._option_string_actions:
                with pytest.raises(UsageError, match=f"goes after the action; write {WHOLE[1][name].prog} "):
                    WHOLE[1][name].parse_args([*written, *path[1:]])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_without_a_value_twice_or_with_an_empty_one_is_named_with_the_remedy(name: str) -> None:
    for own, _, action, word in options_of(name):
        if action.nargs == 0:
            with pytest.raises(UsageError, match=f"{word}.*: takes no value, found '3'; write --[a-z-]+ alone"):
                own.parse_args([f"{word}=3"])
            continue
        values = (
            [str(one) for one in action.choices][:1] if action.choices else ["7", "7"] if action.nargs == 2 else ["7"]
        )
        for given in ([word], [word, "-q"]):
            with pytest.raises(
                UsageError, match=rf"{word}.*: expected .*, found (nothing|the option -q); write {word} "
            ) as caught:
                own.parse_args(given)
            remedy = shlex.split(str(caught.value).split("; ")[1].removeprefix("write "))
            assert len(remedy) == 1 + len(values) and (not action.choices or remedy[1] in action.choices)
        if not isinstance(action, argparse._AppendAction):
            with pytest.raises(UsageError, match=rf"{word}: given twice; give it once"):
                own.parse_args([word, *values, word, *values])
        if action.metavar != "ID":  # an id may be an empty text
            with pytest.raises(UsageError, match=rf"{word}.*, found an empty text; write {action.option_strings[0]} "):
                own.parse_args([word, *values[1:], ""])


def test_the_commands_are_told_with_their_options(work: Workplace) -> None:
    bare = work()
    assert (bare.code, bare.out) == (2, "") and bare.err.startswith("usage: vicinal ")
    top = work("--help")
    assert (top.code, top.err) == (0, "")
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+\w", top.out, re.MULTILINE)
        told = work(command, "--help")
        assert (told.code, told.err) == (0, "") and f"usage: vicinal {command}" in told.out
    version = work("--version")
    assert (version.code, version.out) == (0, f"vicinal {vicinal.__version__}\n")


def test_the_example_of_config_in_each_help_is_a_key_of_that_command(tmp_path: Path) -> None:
    examples = 0
    for command in parser()[1].values():
        example = re.search(r"such as (\w+: [^;]+); typed", " ".join(command.format_help().split()))
        if example is not None:
            (tmp_path / "c.yaml").write_text(example[1])
            assert len(configuration.read(str(tmp_path / "c.yaml"), command)) == 1
            examples += 1
    assert examples > 10


def test_every_key_of_a_configuration_has_an_option(work: Workplace) -> None:
    from vicinal.tasks.score.config import NESTED_KEYS, NESTED_SCORER_KEYS

    told = work("score", "--help").out
    for key in {*NESTED_SCORER_KEYS, *NESTED_KEYS} - {"scorers"}:
        assert "--" + key.replace("_", "-") in told


def test_verbose_says_once_what_is_accepted_but_unused(work: Workplace) -> None:
    top = "input_path: data.jsonl\noutput_path: out\nnum_gpu: 1-8\nresume: false\n"
    scorer = "{name: KNNScorer, num_gpu_per_job: 0, embedding_path: emb.npy}"
    work.write("c.yaml", f"{top}scorers: [{scorer}, {scorer}]\n")
    answer = work("score", "--config", "c.yaml", "-v")
    said = "vicinal: accepted but not used here: num_gpu, num_gpu_per_job, resume\n"
    assert answer.code == 0 and answer.err.count("num_gpu") == 2 and said in answer.err
    assert "KNNScorer_2: k = 5, euclidean, " in answer.err
    assert "num_gpu" not in work("score", "--config", "c.yaml", "--overwrite").err
    assert "not used here: num_gpu\n" in work.score("--num-gpu", "0", "-v").err


def test_quiet_says_nothing_but_errors(work: Workplace) -> None:
    assert work.score("-q", "-k", 99, "-o", "o.jsonl").err == ""
    assert work("neighbors", "emb.npy", "-o", "graph", "-q").err == ""
    assert work.score("-q", "-o", "o.jsonl").err.startswith("vicinal: error: o.jsonl: exists already")


def test_the_json_summary_holds_what_a_program_asks_for(work: Workplace) -> None:
    answer = work.score("--json", "-o", "o.jsonl", "-k", 4, "--metric", "l1")
    found = json.loads(answer.out)
    truth = true_scores(work.vectors, 4, "manhattan")
    assert {key: found[key] for key in ("n", "dim", "k", "metric", "invalid", "output")} == {
        "n": 30,
        "dim": 4,
        "k": 4,
        "metric": "manhattan",
        "invalid": 0,
        "output": "o.jsonl",
    }
    assert isinstance(found["engine"], str) and 0 <= found["seconds"] <= found["total_seconds"]
    quantiles = found["quantiles"]
    np.testing.assert_allclose(list(quantiles.values()), np.quantile(truth, [float(q) for q in quantiles]), rtol=1e-6)
    assert list(quantiles) == ["0", "0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99", "1"]
    to_stdout = work.score("--json", "-k", 4, "--metric", "l1")
    agree(to_stdout.scores, truth)  # standard output has the results, so that the summary goes elsewhere
    assert json.loads(to_stdout.err)["quantiles"] == quantiles
    work.write(
        "c.yaml", "input_path: data.jsonl\noutput_path: out\nscorers: [{name: KNNScorer}, {name: KNNScorer, k: 2}]"
    )
    nested = json.loads(work("score", "--config", "c.yaml", "--embeddings", "emb.npy", "--json").out)
    assert [(one["name"], one["k"]) for one in nested["scorers"]] == [("KNNScorer", 5), ("KNNScorer_2", 2)]
    assert (nested["n"], nested["output"]) == (30, "out/pointwise_scores.jsonl")
    saved = json.loads(work("neighbors", "emb.npy", "-o", "graph", "--json").out)
    assert {key: saved[key] for key in ("n", "dim", "k", "metric", "output")} == {
        "n": 30,
        "dim": 4,
        "k": 5,
        "metric": "euclidean",
        "output": "graph",
    }


def test_a_fault_of_ours_is_one_of_exit_code_1_and_the_traceback_is_for_verbose(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(exact.Exact, "fit", broken)
    before = work.files()
    answer = work(*SCORE, "-o", "o.jsonl")
    assert answer.code == 1 and answer.err.startswith("vicinal: internal error: ZeroDivisionError: a fault\n")
    assert "Traceback" not in answer.err and "Traceback" in work(*SCORE, "-v").err
    assert work.files() == before


@pytest.fixture
def roomless(work: Workplace) -> Iterator[Workplace]:
    """Many rows, and a system that lets no file grow beyond 4,096 bytes."""
    work.save("emb.npy", np.random.default_rng(0).normal(size=(700, 4)).astype(np.float32))
    work.lines("data.jsonl", [{"id": number, "label": "ab"[number % 2]} for number in range(700)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield work
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "command",
    [
        *((*SCORE, "-o", f"o.{ending}") for ending in ("jsonl", "jsonl.gz", "csv", "parquet")),
        (*SCORE, "--run", "o"),
        ("neighbors", "emb.npy", "-o", "o"),
        *(("index", "build", "emb.npy", "-o", "o", "--type", one) for one in ("exact", "hnsw", "annoy", "ivf")),
        ("diagnose", "emb.npy", "--labels", "data.jsonl:label", "--html", "o.html"),
    ],
    ids=lambda command: "-".join([command[0], command[-1]]),
)
def test_a_disk_without_room_is_named_and_nothing_is_left(roomless: Workplace, command: tuple[str, ...]) -> None:
    said = roomless.refuses(3, *command)
    output = next(one for one in command[::-1] if one.startswith("o"))
    assert said.startswith(f"{output}: not enough room: needs ") and "bytes are free on its disk, and a file" in said
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    assert roomless(*command).code == 0  # the remedy


def test_info_names_a_kernel_for_every_metric(work: Workplace) -> None:
    from vicinal.knn.metrics import METRICS

    about = json.loads(work("info", "--json").out)
    assert about["vicinal"] == vicinal.__version__ and about["cores"] >= 1
    assert list(about["kernels"]) == [metric.name for metric in METRICS]
    plain = work("info").out
    assert all(re.search(rf"^{metric.name} +\w", plain, re.MULTILINE) for metric in METRICS)


def test_work_that_would_take_more_memory_than_allowed_is_refused_before_it_begins(work: Workplace) -> None:
    said = work.refuses(2, "--memory", "3K", *SCORE)
    assert said.startswith("not enough memory: 5 neighbours of 30 rows among 30 of dim 4 take 3.6 KiB, and 3.0 KiB")
    assert said.endswith("--memory (VICINAL_MEMORY) is 3.0 KiB; lower k, take fewer rows, or free or allow more memory")
    assert work("--memory", "3K", *SCORE, "-k", 3).code == work("--memory", "4 KiB", *SCORE).code == 0  # the remedies
    for wrong in ("4X", "0", "-1G", "much"):
        said = work.refuses(2, f"--memory={wrong}", *SCORE)
        assert f"--memory: expected a size such as 4G or 500M, got '{wrong}'" in said
    assert memory.VARIABLE not in os.environ


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("600000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 100000\n")
    assert memory._left(tmp_path, "memory.max", "memory.current") == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left(tmp_path, "memory.max", "memory.current") is None
    monkeypatch.setenv(memory.VARIABLE, "3K")
    rows = np.arange(1600, dtype=np.float32).reshape(100, 16)
    assert memory.available() == 3 << 10
    with pytest.raises(UsageError, match=r"take .* and 3\.0 KiB are free; --memory .VICINAL_MEMORY. is 3\.0 KiB"):
        vicinal.Exact().fit(rows).search(rows, 50)
    with pytest.raises(UsageError, match=r"not enough memory: 100 vectors of dim 16 in this index take"):
        vicinal.HNSW().fit(rows)
