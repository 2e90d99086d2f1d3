"""Both YAML forms, key by key: what is right makes a plan, what is wrong is said with its place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vicinal.analysis.score_table import BY_NAME
from vicinal.errors import UsageError
from vicinal.knn.metrics import find
from vicinal.tasks.score import config, other_scorers
from vicinal.tasks.score.plan import Plan, Scorer

NESTED = """\
input_path: data.jsonl
output_path: results/
num_gpu: 0
num_gpu_per_job: 0
scorers:
- {name: KNNScorer, k: 10, distance_metric: cosine, max_workers: 128, embedding_path: emb.npy}
- {name: KNNScorer, sub_name: knn5, k: 5, distance_metric: cosine, embedding_path: emb.npy}
"""
FLAT = """\
name: KNNScorer
embedding_path: emb.npy
k: 7
distance_metric: l1
max_workers: 8
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a data set and embeddings (that are not read here)."""
    monkeypatch.chdir(tmp_path)
    for name in ("data.jsonl", "emb.npy"):
        (tmp_path / name).touch()
    return tmp_path


def plan(text: str | bytes, neighbors: Any = False, **overrides: Any) -> Plan:
    Path("c.yaml").write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return config.read_plan("c.yaml", overrides, neighbors)


def scorer(k: int, metric: str, **others: Any) -> Scorer:
    """The plan of one KNNScorer."""
    return Scorer("KNNScorer", BY_NAME["mean"], "", k, find(metric), Path("emb.npy"), **others)


def fault(text: str | bytes, **overrides: Any) -> str:
    with pytest.raises(UsageError) as caught:
        plan(text, **overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Six levels of ten aliases: a million values of a file of 200 bytes.
BILLION_LAUGHS = "k:\n" + "".join(
    f"  - &x{level} [{', '.join(10 * [f'*x{level - 1}' if level else '1'])}]\n" for level in range(6)
)


def nested(*scorers: str, top: str = "") -> str:
    listed = "".join(f"- {{embedding_path: emb.npy, {one}}}\n" for one in scorers)
    return f"input_path: data.jsonl\noutput_path: out\n{top}scorers:\n{listed}"


def test_the_flat_form_makes_one_scorer() -> None:
    found = plan(FLAT, data="data.jsonl", output="out.csv")
    one = scorer(7, "manhattan", threads=8, metric_given=True)
    assert found == Plan((one,), "data.jsonl", Path("out.csv"))


def test_the_flat_form_needs_only_embeddings() -> None:
    assert plan("embedding_path: emb.npy").scorers == (scorer(5, "euclidean"),)


def test_without_a_file_the_arguments_say_all() -> None:
    (one,) = config.read_plan(None, {"embeddings": "emb.npy"}).scorers
    assert one == replace(scorer(5, "euclidean"), label="mean", embeddings="embeddings")
    by = ["lof:ratio, kth", "lid"]
    found = config.read_plan(None, {"by": by, "k": 3, "metric": find("cosine"), "groups": "chat"}).scorers
    assert [(one.label, one.score.by, one.form) for one in found] == [
        ("lof:ratio", "lof", "ratio"),
        ("kth", "kth", ""),
        ("lid", "lid", ""),
    ]
    assert {(one.k, one.metric.name, one.groups) for one in found} == {(3, "cosine", "chat")}
    assert config.read_plan(None, {"sub_name": "mine", "by": "lof"}).scorers[0].label == "mine"
    with pytest.raises(UsageError, match=r"^sub_name: expected a name for one score, where by names 2, got"):
        config.read_plan(None, {"sub_name": "mine", "by": "lof,lid"})
    with pytest.raises(UsageError, match=r"^by: expected the name of a score, got an empty list"):
        config.read_plan(None, {"by": []})
    with pytest.raises(UsageError, match=r"^by: expected text, got 5"):
        config.read_plan(None, {"by": ["lof", 5]})


def test_one_name_replaces_that_of_each_nested_scorer() -> None:
    assert [one.score.by for one in plan(NESTED, by="lof").scorers] == ["lof", "lof"]
    said = fault(NESTED, by="lof,lid")
    assert said == 'by: expected one score, which replaces the name of each scorer of c.yaml, got "lof,lid"'


def test_data_that_hold_embeddings_serve_where_the_file_names_none() -> None:
    Path("c.yaml").write_text("k: 3\n")
    assert config.read_plan("c.yaml", {}, data_holds_embeddings=True).scorers[0].embeddings == "embeddings"
    Path("c.yaml").write_text(NESTED.replace(", embedding_path: emb.npy", ""))
    found = config.read_plan("c.yaml", {}, data_holds_embeddings=True)
    assert [one.embeddings for one in found.scorers] == ["embeddings", "embeddings"]
    assert [one.embeddings for one in plan(NESTED).scorers] == [Path("emb.npy"), Path("emb.npy")]


def test_the_nested_form_makes_several_and_unused_keys_are_noted() -> None:
    found = plan(NESTED)
    assert found.nested and (found.data, found.output) == (Path("data.jsonl"), Path("results"))
    assert found.unused == ("num_gpu", "num_gpu_per_job")
    assert [(one.label, one.name, one.k, one.metric.name, one.threads) for one in found.scorers] == [
        ("KNNScorer", "KNNScorer", 10, "cosine", 128),
        ("knn5", "KNNScorer", 5, "cosine", None),
    ]


def test_every_unused_key_of_the_tool_is_accepted() -> None:
    top = "num_gpu: 1-8\nnum_gpu_per_job: 2\ndata_with_id: true\nresume: false\n"
    assert plan(nested("name: KNNScorer", top=top)).unused == config.UNUSED
    assert plan(nested("name: KNNScorer, num_gpu_per_job: 1")).unused == ("num_gpu_per_job",)
    assert config.check_unused({"resume": "true", "num_gpu": "0", "data_with_id": None}) == ("num_gpu", "resume")


def test_the_yaml_of_everyday_is_read() -> None:
    for text in (
        "\ufeff" + FLAT,
        FLAT.replace("\n", "\r\n"),
        "# a comment\n---\n" + FLAT + "...\n",
        '{"name": "KNNScorer", "embedding_path": "emb.npy", "k": 7, "distance_metric": "l1", "max_workers": 8}',
        FLAT.replace("8", "&n 8").replace("k: 7", "k: 0x7"),
    ):
        assert plan(text).scorers == plan(FLAT).scorers
    shared = "input_path: data.jsonl\noutput_path: &e emb.npy\nscorers:\n- {name: KNNScorer, embedding_path: *e}\n"
    assert plan(shared).scorers[0].embeddings == Path("emb.npy")


def test_scorers_of_one_name_are_told_apart() -> None:
    def labels(*scorers: str) -> list[str]:
        return [one.label for one in plan(nested(*scorers)).scorers]

    plain = "name: KNNScorer"
    assert labels(plain, plain, plain) == ["KNNScorer", "KNNScorer_2", "KNNScorer_3"]
    assert labels(plain, f"{plain}, sub_name: KNNScorer_2", plain) == ["KNNScorer", "KNNScorer_2", "KNNScorer_3"]
    assert labels(plain, f"{plain}, sub_name: KNNScorer") == ["KNNScorer_2", "KNNScorer"]
    said = fault(nested(f"{plain}, sub_name: a", f"{plain}, sub_name: a"))
    assert said == "c.yaml:5:56: scorers.1.sub_name: 'a' names two scorers; their names must differ"
    assert "sub_name: 'b' names two scorers" in fault(nested(plain, plain), sub_name="b")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("k: 0", "1:4: k: expected a whole number above 0, got 0"),
        ("k: -3", "1:4: k: expected a whole number above 0, got -3"),
        ("k: true", "1:4: k: expected a whole number above 0, got true"),
        ("k: 5.0", "1:4: k: expected a whole number above 0, got 5.0"),
        ("k: five", '1:4: k: expected a whole number above 0, got "five"'),
        ('k: "5"', '1:4: k: expected a whole number above 0, got "5"'),
        ("k:", "1:3: k: expected a whole number above 0, got nothing"),
        ("k: [5]", "1:4: k: expected a whole number above 0, got a list"),
        ("k: {a: 5}", "1:4: k: expected a whole number above 0, got a mapping"),
        ("k: .inf", "1:4: k: expected a whole number above 0, got inf"),
        ("k: 2024-01-01", "1:4: k: expected a whole number above 0, got 2024-01-01"),
        ("max_workers: 0", "1:14: max_workers: expected a whole number above 0, got 0"),
        ("max_workers: many", '1:14: max_workers: expected a whole number above 0, got "many"'),
        ("max_workers: null", "1:14: max_workers: expected a whole number above 0, got nothing"),
        ("name: 5", "1:7: name: expected text, got 5"),
        ("name: [KNNScorer]", "1:7: name: expected text, got a list"),
        ("name: KNNScore", "1:7: name: unknown scorer 'KNNScore': did you mean 'KNNScorer'? Choose from KNNScorer"),
        ("name: Deita", "1:7: name: unknown scorer 'Deita': did you mean 'density'? Choose from KNNScorer"),
        ("distance_metric: cosin", "1:18: distance_metric: unknown metric 'cosin': did you mean 'cosine'? Choose from"),
        ("distance_metric: Euclidean", "unknown metric 'Euclidean': did you mean 'euclidean'? Choose from euclidean, "),
        ("distance_metric: 2", "1:18: distance_metric: expected text, got 2"),
        ("distance_metric: [l2]", "1:18: distance_metric: expected text, got a list"),
        ("distance_metric:", "1:17: distance_metric: expected text, got nothing"),
        ("kk: 5", "1:1: kk: unknown key 'kk': did you mean 'k'? Choose from name, embedding_path, k, distance_metric"),
        ("metric: l2", "1:1: metric: unknown key 'metric': did you mean 'distance_metric'? Choose from name, "),
        ("threads: 2", "1:1: threads: unknown key 'threads': did you mean 'max_workers'? Choose from name, "),
        ("embeddings: e", "1:1: embeddings: unknown key 'embeddings': did you mean 'embedding_path'?"),
        ("zzz: 5", "1:1: zzz: unknown key 'zzz': choose from name, embedding_path, k, distance_metric, max_workers"),
        ("5: 5", "1:1: 5: unknown key '5': choose from"),
        ("sub_name: a", "1:1: sub_name: belongs to the nested form, which needs a list 'scorers'"),
        ("input_path: data.jsonl", "1:1: input_path: belongs to the nested form, which needs a list 'scorers'"),
        ("num_gpu: 0", "1:1: num_gpu: belongs to the nested form, which needs a list 'scorers'"),
        ("k: 5\nk: 5", "2:1: k: duplicate key; it is written above already: remove one of the two"),
        ("? [a, b]\n: 5", "1:3: expected a key, found a sequence"),
        ("k: *nowhere", "1:4: not valid YAML: found undefined alias 'nowhere'"),
        ("k: &a [*a]", "1:4: k.0: an alias that contains itself"),
        ("k: &a {b: {c: *a}}", "1:4: k.b.c: an alias that contains itself"),
        (BILLION_LAUGHS, "2:34: k.4.7.8.8.8.8: with its aliases the file holds more than 100,000 values; write fewer"),
        ("k: " + 60 * "[" + 60 * "]", "1:54: k" + 50 * ".0" + ": nested more than 50 levels deep; write it flatter"),
        ("k: " + 5000 * "[", ": nested too deeply to be read; write it flatter"),
        ("k: !!int five", '1:4: k: not a value that can be read: "five" as int'),
        ("k: !!bool maybe", '1:4: k: not a value that can be read: "maybe" as bool'),
        ('k: !!int ""', '1:4: k: not a value that can be read: "" as int'),
        ("k: 2024-13-45", '1:4: k: not a value that can be read: "2024-13-45" as timestamp'),
        ("k: !!python/object/apply:os.getcwd []", "k: expected a whole number above 0, got an empty list"),
        ("k: !!python/name:os.getcwd ''", "1:4: k: not a value that can be read: could not determine a constructor"),
        ("\tk: 5", "1:1: not valid YAML: found character '\\t' that cannot start any token"),
        ("k: 5\n---\nk: 6", "2:1: not valid YAML: but found another document"),
        ("k: [1", "1:6: not valid YAML: expected ',' or ']'"),
        ("k: 5: 6", "1:5: not valid YAML: mapping values are not allowed here"),
        ("k: \x01", "1: not valid YAML: the character #x01 is not allowed"),
        ("# one\n# two\nk: \x01", "3: not valid YAML: the character #x01 is not allowed"),
        ("k: " + "[" * 3000, " nested too deeply to be read"),
    ],
)
def test_a_wrong_line_of_the_flat_form_is_said_with_its_place(line: str, said: str) -> None:
    given = set(line.replace(":", " ").split())
    rest = "" if "embeddings" in given or "name" in given else "\nname: KNNScorer"
    text = line if said.find("valid YAML") > 0 or "deeply" in said else f"{line}{rest}\nembedding_path: emb.npy"
    found = fault(text)
    assert found.startswith("c.yaml:") and said in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "c.yaml:1:1: expected keys and values such as 'embedding_path: emb.npy', found an empty file"),
        (
            "# only a comment\n",
            "c.yaml:1:1: expected keys and values such as 'embedding_path: emb.npy', found an empty",
        ),
        ("- a\n- b\n", "c.yaml:1:1: expected keys and values such as 'embedding_path: emb.npy', found a sequence"),
        ("a word", "c.yaml:1:1: expected keys and values such as 'embedding_path: emb.npy', found a scalar"),
        (b"# \xe4\n", "c.yaml:1: not UTF-8; convert the file to UTF-8"),
        (b"k: 5\n# \xe4\n", "c.yaml:2: not UTF-8; convert the file to UTF-8"),
        (FLAT.encode("utf-16"), "c.yaml:1: not UTF-8; convert the file to UTF-8"),
        ("k: 5", "c.yaml:1:1: embedding_path: missing; give the .npy file there or as --embeddings"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(text: str | bytes, said: str) -> None:
    assert fault(text).startswith(said)


def test_a_configuration_that_cannot_be_read_is_named(here: Path) -> None:
    with pytest.raises(UsageError, match=r"^none\.yaml: cannot be read: No such file or directory$"):
        config.read_plan("none.yaml", {})
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        config.read_plan(here, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scorers: []", "c.yaml:1:10: scorers: expected a list of scorers, each with a name, got an empty list"),
        ("scorers: KNNScorer", '1:10: scorers: expected a list of scorers, each with a name, got "KNNScorer"'),
        ("scorers: {name: KNNScorer}", "1:10: scorers: expected a list of scorers, each with a name, got a mapping"),
        ("scorers:", "1:9: scorers: expected a list of scorers, each with a name, got nothing"),
        ("scorers: [KNNScorer]", "1:11: scorers.0: expected a mapping with a scorer's name and settings, got"),
        ("scorers: [{k: 5}]", "1:11: scorers.0.name: missing; choose from KNNScorer"),
        ("k: 5\nscorers: [{name: KNNScorer}]", "c.yaml:1:1: k: belongs to a scorer: write it below 'scorers'"),
        (
            "scorer: []\nscorers: []",
            "c.yaml:1:1: scorer: unknown key 'scorer': did you mean 'scorers'? Choose",
        ),
        ("scorers: [{name: KNNScorer}]", "c.yaml:1:11: scorers.0: embedding_path: missing; give the .npy file there"),
        (nested("name: KNNScorer, k: five"), 'c.yaml:4:49: scorers.0.k: expected a whole number above 0, got "five"'),
        (
            nested("name: KNNScorer", "name: X"),
            "5:35: scorers.1.name: unknown scorer 'X': choose from KNNScorer",
        ),
        (nested("name: KNNScorer, metric: l2"), "c.yaml:4:46: scorers.0.metric: unknown key 'metric': did you mean"),
        (nested("name: KNNScorer, name: KNNScorer"), "c.yaml:4:46: scorers.0.name: duplicate key"),
        (nested("name: KNNScorer, sub_name: 5"), "scorers.0.sub_name: expected text, got 5"),
        (nested("name: KNNScorer, sub_name: [a]"), "scorers.0.sub_name: expected text, got a list"),
        (nested("name: KNNScorer, sub_name: ''"), 'scorers.0.sub_name: expected text, got ""'),
        (nested("name: KNNScorer, num_gpu_per_job: x"), "num_gpu_per_job: expected a whole number from 0, or a range"),
        (
            nested("name: KNNScorer", top="num_gpu: 1-2-3\n"),
            "3:10: num_gpu: expected a whole number from 0, or a range",
        ),
        (nested("name: KNNScorer", top="num_gpu: true\n"), "num_gpu: expected a whole number from 0, or a range"),
        (nested("name: KNNScorer", top="num_gpu: -1\n"), "num_gpu: expected a whole number from 0, or a range"),
        (nested("name: KNNScorer", top="resum: true\n"), "3:1: resum: unknown key 'resum': did you mean 'resume'?"),
        (nested("name: KNNScorer").replace("output_path: out\n", ""), "c.yaml:1:1: output_path: missing; write it in"),
        (
            nested("name: KNNScorer").replace("input_path: data.jsonl\n", ""),
            "c.yaml:1:1: input_path: missing; write it",
        ),
        (nested("name: KNNScorer").replace("out\n", "5\n"), "c.yaml:2:14: output_path: expected text, got 5"),
        (nested("name: KNNScorer").replace("data.jsonl", "[]"), "c.yaml:1:13: input_path: expected text, got an empty"),
    ],
)
def test_a_wrong_nested_form_is_said_with_its_place(text: str, said: str) -> None:
    assert said in fault(text)


def test_paths_are_looked_for_here_first_and_then_beside_the_configuration(here: Path) -> None:
    folder = here / "sub"
    folder.mkdir()
    text = "name: KNNScorer\nembedding_path: e.npy\n"
    (folder / "c.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        config.read_plan("sub/c.yaml", {})
    assert str(caught.value) == (
        'sub/c.yaml:2:17: embedding_path: expected a file, got "e.npy": '
        f"there is nothing at {here / 'e.npy'}, nothing at {here / 'sub' / 'e.npy'}"
    )
    (folder / "e.npy").touch()
    assert config.read_plan("sub/c.yaml", {}).scorers[0].embeddings == Path("sub/e.npy")
    (here / "e.npy").mkdir()  # a folder of that name does not hide the file
    assert config.read_plan("sub/c.yaml", {}).scorers[0].embeddings == Path("sub/e.npy")
    (here / "e.npy").rmdir()
    (here / "e.npy").touch()
    assert config.read_plan("sub/c.yaml", {}).scorers[0].embeddings == Path("e.npy")
    (here / "e.npy").unlink()
    (folder / "c.yaml").write_text(text.replace("e.npy", str(folder / "e.npy")))
    assert config.read_plan("sub/c.yaml", {}).scorers[0].embeddings == folder / "e.npy"


def test_what_arguments_name_is_left_as_it_is() -> None:
    found = config.read_plan(None, {"data": "d.jsonl", "embeddings": "e.npy"})
    assert (found.data, found.scorers[0].embeddings) == ("d.jsonl", "embeddings")


ARGUMENTS = {"by": ("lof", "lof"), "k": (3, 3), "metric": ("cityblock", "manhattan"), "threads": (2, 2)}


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("text", [FLAT, NESTED])
def test_an_argument_replaces_its_key_in_every_scorer(text: str, name: str) -> None:
    value, wanted = ARGUMENTS[name]
    field = {"by": "score"}.get(name, name)
    for before, after in zip(plan(text).scorers, plan(text, **{name: value}).scorers, strict=True):
        found = getattr(after, field)
        assert getattr(found, {"by": "by", "metric": "name"}.get(name, "real")) == wanted
        changed = {one for one in vars(before) if getattr(before, one) != getattr(after, one)}
        assert changed <= {field, "metric_given", *(("label",) if name == "by" else ())}


def test_an_argument_stands_in_for_what_is_missing_or_wrong() -> None:
    assert plan("name: KNNScorer\nk: five\nembedding_path: none.npy", k=3, embeddings="emb.npy").scorers[0].k == 3
    found = plan("scorers:\n- {k: 5}\n", by="KNNScorer", embeddings="emb.npy", data="data.jsonl", output="o")
    assert (found.scorers[0].label, found.data, found.output) == ("KNNScorer", "data.jsonl", Path("o"))
    both = plan(NESTED, data="other.jsonl", output="elsewhere")
    assert (both.data, both.output) == ("other.jsonl", Path("elsewhere"))
    one = "input_path: data.jsonl\noutput_path: o\nscorers: [{name: KNNScorer, embedding_path: emb.npy}]"
    assert plan(one, sub_name="mine").scorers[0].label == "mine"


@pytest.mark.parametrize("value", ["five", 0, -5, 5.0, "", True, "5", [5], float("inf")], ids=repr)
def test_a_wrong_number_is_named_by_its_argument(value: Any) -> None:
    assert fault(FLAT, k=value).startswith("k: expected a whole number above 0, got ")
    assert fault(FLAT, threads=value).startswith("threads: expected a whole number above 0, got ")


def test_neighbours_stand_in_for_embeddings() -> None:
    found = plan("k: 5", neighbors=True)
    assert found.scorers[0].embeddings is None and not found.scorers[0].metric_given
    assert plan(FLAT.replace("emb.npy", "none.npy"), neighbors=True).scorers[0].metric_given


@given(k=st.integers(1, 10**9), workers=st.integers(1, 999), metric=st.sampled_from(["l2", "cosine", "manhattan"]))
def test_right_values_arrive_unchanged(k: int, workers: int, metric: str) -> None:
    text = yaml.safe_dump({"k": k, "max_workers": workers, "distance_metric": metric, "embedding_path": "emb.npy"})
    (one,) = plan(text).scorers
    assert (one.k, one.threads, one.metric.name) == (k, workers, {"l2": "euclidean"}.get(metric, metric))
    assert plan(text, k=k + 1).scorers[0].k == k + 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(["k", "max_workers", "name", "distance_metric", "scorers", "sub_name"]), value=ANYTHING)
def test_any_other_value_is_refused_at_its_key_or_read_as_it_is(key: str, value: Any) -> None:
    text = yaml.safe_dump({key: value, "embedding_path": "emb.npy"}, sort_keys=False, allow_unicode=True)
    try:
        (one,) = plan(text).scorers
    except UsageError as error:
        assert str(error).startswith("c.yaml:") and key in str(error)
    else:
        assert {"k": one.k, "max_workers": one.threads}[key] == value and value > 0 and not isinstance(value, bool)


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_no_file_whatever_makes_a_fault_of_ours(content: str | bytes) -> None:
    try:
        text = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        plan(text)
    except UsageError as error:
        assert str(error).startswith("c.yaml")


@pytest.mark.parametrize("line", ["resume: {a: 1}", "data_with_id: [1]", "num_gpu: many", "num_gpu_per_job: true"])
def test_a_slip_in_an_unused_key_is_still_an_error(line: str) -> None:
    key = line.partition(":")[0]
    assert f"{key}: expected" in fault(NESTED.replace(f"{key}: 0\n", "") + f"{line}\n")
    if key.startswith("num_gpu"):
        with pytest.raises(UsageError, match=f"^{key}: expected a whole number from 0"):
            config.check_unused({key: "many"})


def test_scorers_that_vicinal_does_not_have_are_refused_or_skipped_by_name() -> None:
    assert len(other_scorers.TEXT_SCORERS) == 16 and len(other_scorers.MODEL_SCORERS) == 40
    text = nested("name: KNNScorer", "name: MtldScorer, ttr_threshold: 0.7", "name: PPLScorer, model: gpt2")
    said = fault(text)
    assert said.startswith("c.yaml:5:35: scorers.1.name: MtldScorer reads texts, which vicinal does not; remove it")
    assert fault(text.replace("MtldScorer", "KNScorer")).startswith(
        "c.yaml:5:35: scorers.1.name: unknown scorer 'KNScorer': did you mean 'KNNScorer'? Choose from"
    )
    found = config.read_plan("c.yaml", {}, skip_unknown=True)
    assert ([one.label for one in found.scorers], found.skipped) == (["KNNScorer"], ("KNScorer", "PPLScorer"))
    Path("c.yaml").write_text(nested("name: MtldScorer"))
    with pytest.raises(UsageError, match=r"c.yaml:4:1: scorers: expected .* \(KNNScorer, .*, got only MtldScorer"):
        config.read_plan("c.yaml", {}, skip_unknown=True)
