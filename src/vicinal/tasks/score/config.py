"""The two YAML forms of a scoring run, checked key by key, and the plan that they make.

    flat     one scorer: name, embedding_path, k, distance_metric, max_workers, reference_path, group_field
    nested   several: input_path, output_path and a list `scorers`, as OpenDataArena's scorer tool writes it

Nothing is replaced by a default where it was written wrongly. An error names file, line, column and key, what was
expected, what was found, and the nearest valid name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from vicinal.analysis import scores
from vicinal.errors import UsageError, unknown
from vicinal.knn import metrics

SCORER_KEYS = ("name", "embedding_path", "k", "distance_metric", "max_workers", "reference_path", "group_field")
NESTED_SCORER_KEYS = (*SCORER_KEYS, "sub_name", "num_gpu_per_job", "num_gpu")
NESTED_KEYS = ("input_path", "output_path", "scorers", "num_gpu", "num_gpu_per_job", "data_with_id", "resume")
UNUSED = ("num_gpu", "num_gpu_per_job", "data_with_id", "resume")
OTHER_NAMES = {
    "embeddings": "embedding_path",
    "embedding": "embedding_path",
    "metric": "distance_metric",
    "distance": "distance_metric",
    "threads": "max_workers",
    "workers": "max_workers",
    "n_neighbors": "k",
    "input": "input_path",
    "output": "output_path",
    "label": "sub_name",
    "reference": "reference_path",
    "group": "group_field",
}
REFERENCE = "@reference"
COMMAND_LINE = "the command line"
OVERRIDES = (*SCORER_KEYS, "by", "sub_name", *(key for key in NESTED_KEYS if key != "scorers"))


@dataclass(frozen=True)
class ScorerPlan:
    """One scorer of a run.

    name      : a score's name or short name, with a form after a colon or without
    reference : the other set that distances are measured to; None for the other samples
    group     : the data set's field whose equal values make samples no neighbours of each other
    """

    label: str
    name: str
    k: int
    metric: str
    threads: int | None
    embedding_path: Path | None
    metric_given: bool = False
    group: str | None = None
    reference: Path | None = None

    @property
    def score(self) -> scores.Score:
        """The row of the table of scores."""
        return scores.find(self.name)[0]

    @property
    def form(self) -> str:
        """The form that the score is put in, "" for its plain value."""
        return scores.find(self.name)[1]


@dataclass(frozen=True)
class Plan:
    """One scoring run, whichever way it was written down."""

    nested: bool
    scorers: tuple[ScorerPlan, ...]
    input_path: Path | None = None
    output_path: Path | None = None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """A value and where it was written, in the words of an error: `knn.yaml:3:4: k` or `--k`."""

    value: Any
    place: str
    folder: Path | None = None
    key_place: str = ""

    def fail(self, expected: str) -> UsageError:
        """The error for a value that is not what was expected."""
        return UsageError(f"{self.place}: expected {expected}, got {_shown(self.value)}")


Settings = dict[str, Setting]


def read_plan(config: str | Path | None, overrides: dict[str, Any], neighbors_given: bool = False) -> Plan:
    """The plan of a YAML file, with command-line values in place of its own.

    config          : a file in either form, or None where the command line says it all
    overrides       : key -> value or None; in the nested form a scorer's key holds for every scorer
    neighbors_given : the neighbours are at hand, so that embedding_path is not needed
    Raises            UsageError, naming the place.
    """
    given = {key: Setting(value, _option(key)) for key, value in overrides.items() if value is not None}
    if config is None:
        return _flat_plan({}, given, COMMAND_LINE, neighbors_given)
    top, where = _read_yaml(Path(config))
    if "scorers" in top:
        return _nested_plan(top, given, where, neighbors_given)
    for key, setting in top.items():
        if key in NESTED_KEYS or key == "sub_name":
            raise UsageError(f"{setting.key_place}: belongs to the nested form, which needs a list 'scorers'")
    return _flat_plan(top, given, where, neighbors_given)


def _flat_plan(top: Settings, given: Settings, where: str, neighbors_given: bool) -> Plan:
    _only(top, SCORER_KEYS)
    _check_unused(given)
    settings = {**top, **given}
    by = settings.pop("by", None)
    if by is None:
        plans = [_scorer(settings, where, "KNNScorer", neighbors_given)]
    else:
        if "name" in given:
            raise UsageError(f"{by.place}: chooses the scorers, and so does --name; give one of them")
        names = [name.strip() for name in _text(by).split(",")]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise UsageError(f"{by.place}: {twice[0]!r} is named twice; name it once")
        plans = [_scorer({**settings, "name": replace(by, value=name)}, where, name, neighbors_given) for name in names]
    return Plan(
        nested=False,
        unused=tuple(key for key in UNUSED if key in given),
        scorers=_with_references(plans, settings),
        input_path=_path(given.get("input_path")),
        output_path=Path(given["output_path"].value) if "output_path" in given else None,
    )


def _nested_plan(top: Settings, given: Settings, where: str, neighbors_given: bool) -> Plan:
    for key, setting in top.items():
        if key in SCORER_KEYS:
            raise UsageError(f"{setting.key_place}: belongs to a scorer: write it below 'scorers'")
    _only(top, NESTED_KEYS)
    if "by" in given:
        raise UsageError(f"{given['by'].place}: belongs to the flat form; this file lists its scorers itself")
    merged = {**top, **given}
    _check_unused(top)
    _check_unused(given)
    listed = top["scorers"]
    if not isinstance(listed.value, list) or not listed.value:
        raise listed.fail("a list of scorers, each with a name")
    unused = tuple(key for key in UNUSED if key in merged or any(_has(item, key) for item in listed.value))
    taken = {_text(item.value["sub_name"]) for item in listed.value if _has(item, "sub_name")}
    plans: list[ScorerPlan] = []
    labels: set[str] = set()
    for item in listed.value:
        if not isinstance(item.value, dict):
            raise item.fail("a mapping with a scorer's name and settings")
        _only(item.value, NESTED_SCORER_KEYS)
        _check_unused(item.value)
        if "name" not in item.value and "name" not in given:
            names = ", ".join(score.name for score in scores.SCORES)
            raise UsageError(f"{item.place}.name: missing; choose from {names}")
        settings = {**item.value, **{key: value for key, value in given.items() if key in NESTED_SCORER_KEYS}}
        label = _text(settings["sub_name"]) if "sub_name" in settings else ""
        if label and label in labels:
            raise UsageError(f"{settings['sub_name'].place}: {label!r} names two scorers; their names must differ")
        if not label:
            name = _text(settings["name"])
            label = next(free for free in _numbered(name) if free not in labels and free not in taken)
        labels.add(label)
        plans.append(_scorer(settings, item.place, label, neighbors_given))
    for key in ("input_path", "output_path"):
        if key not in merged:
            raise UsageError(f"{where}: {key}: missing; write it in the file or give {_option(key)}")
    output = Path(_text(merged["output_path"]))
    scorers = tuple(one for plan in plans for one in _with_references([plan], given))
    return Plan(True, scorers, _path(merged["input_path"]), output, unused)


def _with_references(plans: list[ScorerPlan], settings: Settings) -> tuple[ScorerPlan, ...]:
    """The scorers as they are, each followed by its like against the reference where there is one."""
    out = []
    for one in plans:
        out.append(replace(one, reference=None))
        if one.reference is not None and not one.score.own:
            out.append(replace(one, label=one.label + REFERENCE))
    if any(one.reference is not None for one in plans) and not any(one.reference is not None for one in out):
        given = settings.get("reference_path")
        place = f"{plans[0].label}: reference_path" if given is None else given.place
        able = ", ".join(score.by for score in scores.SCORES if not score.own)
        raise UsageError(f"{place}: {plans[0].name} needs the samples' own neighbours; with a reference choose {able}")
    return tuple(out)


def _scorer(settings: Settings, where: str, label: str, neighbors_given: bool) -> ScorerPlan:
    name = settings.get("name", Setting("KNNScorer", where))
    try:
        score, _ = scores.find(_text(name))
    except UsageError as error:
        raise UsageError(f"{name.place}: {error}") from None
    metric = settings.get("distance_metric", Setting("euclidean", where))
    if _text(metric) not in metrics.BY_NAME:
        raise UsageError(f"{metric.place}: {unknown('metric', metric.value, metrics.BY_NAME)}")
    threads = settings.get("max_workers")
    if "embedding_path" not in settings and not neighbors_given:
        if where == COMMAND_LINE:
            raise UsageError("no embeddings were given; write: vicinal score DATA.jsonl --embeddings EMB.npy")
        raise UsageError(f"{where}: embedding_path: missing; give the .npy file there or as --embeddings")
    k = _whole_number(settings["k"]) if "k" in settings else 5
    if k < score.least_k:
        raise settings["k"].fail(f"a whole number of at least {score.least_k} for {name.value}")
    unfit = score.unfit(metrics.find(metric.value))
    if unfit and not (neighbors_given and "distance_metric" not in settings):
        raise UsageError(f"{metric.place}: {name.value}: {unfit}")
    if neighbors_given and "reference_path" in settings:
        raise UsageError(f"{settings['reference_path'].place}: needs embeddings, in place of --neighbors")
    if neighbors_given and "group_field" in settings:
        raise UsageError(f"{settings['group_field'].place}: needs embeddings; saved neighbours know no groups")
    return ScorerPlan(
        label=label,
        name=name.value,
        k=k,
        metric=metrics.find(metric.value).name,
        threads=None if threads is None else _whole_number(threads),
        embedding_path=None if neighbors_given else _path(settings["embedding_path"]),
        metric_given="distance_metric" in settings,
        group=_text(settings["group_field"]) if "group_field" in settings else None,
        reference=_path(settings.get("reference_path")),
    )


def whole_number(value: object, place: str) -> int:
    """The number above 0 that an option or key holds, or UsageError; options come as text."""
    return _whole_number(Setting(value, place))


def threads(value: object, place: str = "--threads") -> int | None:
    """How many threads were asked for; None for the machine's cores.

    Raises    as `whole_number`
    """
    return None if value is None else whole_number(value, place)


def _whole_number(setting: Setting) -> int:
    value = setting.value
    if (
        setting.place.startswith("-")
        and isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) < 4000
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise setting.fail("a whole number above 0")
    return value


def _check_unused(settings: Settings) -> None:
    """These keys change nothing here, but a slip in them is still worth a word."""
    for key in ("num_gpu", "num_gpu_per_job"):
        if key in settings:
            value = settings[key].value
            ends = value.split("-") if isinstance(value, str) else [value]
            whole = all(str(end).isascii() and str(end).isdigit() for end in ends)
            if isinstance(value, bool) or len(ends) > 2 or not whole:
                raise settings[key].fail("a whole number from 0, or a range such as 1-8")
    for key in ("data_with_id", "resume"):
        if key in settings and not isinstance(settings[key].value, bool | str):
            raise settings[key].fail("true, false or text")


def _text(setting: Setting) -> str:
    if not isinstance(setting.value, str) or not setting.value:
        raise setting.fail("text")
    return setting.value


def _path(setting: Setting | None) -> Path | None:
    """An input file: from the working directory first, then from the configuration's own folder."""
    if setting is None:
        return None
    text = _text(setting)
    tried = [Path(text)]
    if setting.folder is not None and not Path(text).is_absolute():
        tried.append(setting.folder / text)
    for path in tried:
        if path.is_file():
            return path
    places = dict.fromkeys(f"{_what_is(path)} at {path.absolute()}" for path in tried)
    raise UsageError(f"{setting.place}: expected a file, got {_shown(setting.value)}: there is {', '.join(places)}")


def _what_is(path: Path) -> str:
    return "a folder" if path.is_dir() else "no plain file" if path.exists() else "nothing"


def input_file(path: str, place: str) -> Path:
    """The path of a file that an option names, or UsageError where there is none."""
    return _path(Setting(path, place)) or Path(path)


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _has(item: Setting, key: str) -> bool:
    return isinstance(item.value, dict) and key in item.value


def _only(settings: Settings, known: tuple[str, ...]) -> None:
    for key, setting in settings.items():
        if key not in known:
            near = OTHER_NAMES.get(key.lower().replace("-", "_"))
            hint = f"unknown key {key!r}: did you mean {near!r}? Choose from {', '.join(known)}"
            raise UsageError(f"{setting.key_place}: {hint if near in known else unknown('key', key, known)}")


def _option(key: str) -> str:
    short = {"embedding_path": "--embeddings", "distance_metric": "--metric", "input_path": "DATA", "k": "-k"}
    short |= {"reference_path": "--reference", "group_field": "--group"}
    return short.get(key, "--" + key.replace("_", "-"))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}..."'
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list" if value else "an empty list"
    return str(value)


def _read_yaml(path: Path) -> tuple[Settings, str]:
    """The top mapping of a YAML file as settings that know their places, and the file's own place."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8; convert the file to UTF-8") from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            kind = "an empty file" if node is None else f"a {type(node).__name__.removesuffix('Node').lower()}"
            raise UsageError(f"{path}:1:1: expected keys and values such as 'embedding_path: emb.npy', found {kind}")
        return _settings(loader, node, path, "", ()).value, f"{path}:1:1"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{place}: not valid YAML: {error.problem or error}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"{path}:{line}: not valid YAML: the character #x{error.character:02x} is not allowed"
        ) from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply to be read") from None


def _settings(loader: yaml.SafeLoader, node: yaml.Node, path: Path, key: str, above: tuple[yaml.Node, ...]) -> Setting:
    place = f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}: {key}"
    if node in above:
        raise UsageError(f"{place}: an alias that contains itself")
    above = (*above, node)
    prefix = f"{key}." if key else ""
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {}
        for key_node, value_node in node.value:
            name = str(key_node.value)
            mark = key_node.start_mark
            spot = f"{path}:{mark.line + 1}:{mark.column + 1}: {prefix}{name}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise UsageError(f"{path}:{mark.line + 1}:{mark.column + 1}: expected a key, found a {key_node.id}")
            if name in value:
                raise UsageError(f"{spot}: duplicate key; it is written above already: remove one of the two")
            below = _settings(loader, value_node, path, prefix + name, above)
            value[name] = replace(below, key_place=spot)
    elif isinstance(node, yaml.SequenceNode):
        value = [_settings(loader, item, path, f"{prefix}{i}", above) for i, item in enumerate(node.value)]
    else:
        try:
            value = loader.construct_object(node)
        except Exception as error:  # PyYAML raises errors of many kinds of a tag that does not fit its text
            problem = getattr(error, "problem", None) or f'"{node.value}" as {node.tag.rpartition(":")[2]}'
            raise UsageError(f"{place}: not a value that can be read: {problem}") from None
    return Setting(value, place, path.parent)
