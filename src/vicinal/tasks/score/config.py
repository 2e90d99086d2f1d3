"""The plan of a scoring run, from arguments and from the two YAML forms, checked key by key.

    flat     one scorer: name, embedding_path, k, distance_metric, max_workers, reference_path, group_field
    nested   several: input_path, output_path and a list `scorers`, as OpenDataArena's scorer tool writes it

Arguments replace the values of a file. A wrong value is an error, never replaced by a default; the error names the
file, line, column and key (or the argument), the value found, what was expected, and the nearest valid name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vicinal.analysis import score_table
from vicinal.errors import UsageError
from vicinal.knn import metrics
from vicinal.tasks.diversity import measures
from vicinal.tasks.score import other_scorers, setwise
from vicinal.tasks.score.plan import EMBEDDINGS, GROUPS, REFERENCE, Key, Plan, Scorer
from vicinal.tasks.score.settings import Setting, Settings, read_yaml, refuse_unknown_keys

SCORER_KEYS = ("name", "embedding_path", "k", "distance_metric", "max_workers", "reference_path", "group_field")
NESTED_SCORER_KEYS = (*SCORER_KEYS, "sub_name", "num_gpu_per_job", "num_gpu", "resume")
KNOWN = (*(one.name for one in score_table.SCORES), *(one.name for one in measures.MEASURES))
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
KEYS = {
    "by": "name",
    "k": "k",
    "metric": "distance_metric",
    "threads": "max_workers",
    "embeddings": "embedding_path",
    "reference": "reference_path",
    "groups": "group_field",
    "data": "input_path",
    "output": "output_path",
    "sub_name": "sub_name",
}
"""The key that each argument of `score` replaces."""
AGAINST_REFERENCE = "@reference"
DEFAULT_K = 5


def read_plan(
    config: str | Path | None,
    given: Mapping[str, Any],
    neighbors_given: bool = False,
    data_holds_embeddings: bool = False,
    skip_unknown: bool = False,
) -> Plan:
    """Return the plan that a YAML file and arguments describe.

    Parameters
    ----------
    config : path or None
        A file in either form; None where the arguments say all.
    given : mapping of str to object
        Argument (a key of `KEYS`) -> value; None where it is not given. In the nested form an argument that belongs to
        a scorer holds for every scorer.
    neighbors_given : bool
        Saved neighbours take the place of embeddings.
    data_holds_embeddings : bool
        The argument `data` is an array or a table, whose embeddings are used where the file names none.
    skip_unknown : bool
        Of a nested file, leave out scorers that vicinal does not have; the plan names them.

    Raises
    ------
    UsageError
        Naming the place: file, line, column and key, or the argument.
    """
    arguments = {KEYS[name]: Setting(value, name) for name, value in given.items() if value is not None}
    held = {"embedding_path": Setting(None, EMBEDDINGS)} if data_holds_embeddings else {}
    if config is None:
        return _flat_plan({}, held, arguments, None, neighbors_given)
    top, where = read_yaml(Path(config))
    if "scorers" in top:
        return _nested_plan(top, held, arguments, where, neighbors_given, skip_unknown)
    for key, setting in top.items():
        if key in NESTED_KEYS or key == "sub_name":
            raise UsageError(f"{setting.key_place}: belongs to the nested form, which needs a list 'scorers'")
    return _flat_plan(top, held, arguments, where, neighbors_given)


def check_unused(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of `UNUSED` that are given, in that order.

    Raises
    ------
    UsageError
        A value is not what OpenDataArena's tool takes, so it is probably a mistake.
    """
    given = {key: Setting(value, key) for key, value in values.items() if value is not None}
    _check_unused(given)
    return tuple(key for key in UNUSED if key in given)


def _flat_plan(top: Settings, held: Settings, given: Settings, where: str | None, neighbors_given: bool) -> Plan:
    """The plan of the flat form; `held` are defaults, `where` is the place of the file, None where there is none."""
    refuse_unknown_keys(top, SCORER_KEYS, OTHER_NAMES)
    settings = {**held, **top, **given}
    by = settings.get("name", Setting("mean" if where is None else "KNNScorer", where or "by"))
    names = _names(by) if by.is_argument else [by.text()]
    label = settings.get("sub_name")
    if label is not None and len(names) > 1:
        raise label.fail(f"a name for one score, where by names {len(names)}")
    for name in names:
        if name in measures.BY_NAME:
            raise UsageError(
                f"{by.place}: {name} measures the whole set, not its rows; use `vicinal diversity` (in Python: "
                "vicinal.diversity), or list it below 'scorers' of a nested file"
            )
    plans = [
        _scorer({**settings, "name": replace(by, value=name)}, where, label.text() if label else name, neighbors_given)
        for name in names
    ]
    return Plan(
        scorers=_with_references(plans, settings),
        data=_value(given.get("input_path")),
        output=_output(given.get("output_path")),
    )


def _nested_plan(
    top: Settings, held: Settings, given: Settings, where: str, neighbors_given: bool, skip_unknown: bool
) -> Plan:
    """The plan of the nested form; `held` are defaults of each scorer."""
    for key, setting in top.items():
        if key in SCORER_KEYS:
            raise UsageError(f"{setting.key_place}: belongs to a scorer: write it below 'scorers'")
    refuse_unknown_keys(top, NESTED_KEYS, OTHER_NAMES)
    merged = {**top, **given}
    _check_unused(top)
    listed = top["scorers"]
    if not isinstance(listed.value, list) or not listed.value:
        raise listed.fail("a list of scorers, each with a name")
    unused = tuple(key for key in UNUSED if key in top or any(_has(item, key) for item in listed.value))
    if "name" in given:
        names = _names(given["name"])
        if len(names) > 1:
            raise given["name"].fail(f"one score, which replaces the name of each scorer of {where.partition(':')[0]}")
        given = {**given, "name": replace(given["name"], value=names[0])}
    items, skipped = _known(listed, given, skip_unknown)
    plans, sets = [], []
    for settings, place, label in _labelled(items, given):
        whole = {**held, **settings}
        if settings["name"].text() not in measures.BY_NAME:
            plans.append(_scorer(whole, place, label, neighbors_given))
        elif neighbors_given:
            raise UsageError(f"neighbors: {label} is computed from embeddings; give them in place of neighbors")
        else:
            sets.append(setwise.set_scorer(whole, place, label))
    for key, option, argument in (("input_path", "DATA", "data"), ("output_path", "--output", "output")):
        if key not in merged:
            raise UsageError(
                f"{where}: {key}: missing; write it in the file or give {option} (in Python: {argument}=...)"
            )
    scorers = tuple(one for plan in plans for one in _with_references([plan], given))
    data, output = _value(merged["input_path"]), _output(merged["output_path"])
    return Plan(scorers, data, output, True, unused, skipped, tuple(sets))


def _known(listed: Setting, given: Settings, skip_unknown: bool) -> tuple[list[Setting], tuple[str, ...]]:
    """The listed scorers that vicinal has, and the names of the others, which are refused unless they are skipped."""
    items, skipped = [], []
    for item in listed.value:
        name = given.get("name") or (item.value.get("name") if isinstance(item.value, dict) else None)
        plain = name.text().partition(":")[0] if name is not None else ""
        if name is None or plain in (*KNOWN, *score_table.BY_NAME):
            items.append(item)
        elif not skip_unknown:
            raise other_scorers.refusal(name, KNOWN)
        else:
            skipped.append(plain)
    if not items:
        names = ", ".join(dict.fromkeys(skipped))
        raise UsageError(f"{listed.place}: expected a scorer that vicinal has ({', '.join(KNOWN)}), got only {names}")
    return items, tuple(skipped)


def _labelled(items: list[Setting], given: Settings) -> Iterable[tuple[Settings, str, str]]:
    """The settings of each listed scorer, with its place and its label; labels are distinct."""
    taken = {item.value["sub_name"].text() for item in items if _has(item, "sub_name")}
    labels: set[str] = set()
    for item in items:
        if not isinstance(item.value, dict):
            raise item.fail("a mapping with a scorer's name and settings")
        name = given.get("name") or item.value.get("name")
        measure = None if name is None else measures.BY_NAME.get(name.text())
        keys = NESTED_SCORER_KEYS if measure is None else setwise.keys_of(measure)
        refuse_unknown_keys(item.value, keys, OTHER_NAMES)
        _check_unused(item.value)
        if "name" not in item.value and "name" not in given:
            raise UsageError(f"{item.place}.name: missing; choose from {', '.join(KNOWN)}")
        replaced = NESTED_SCORER_KEYS if measure is None else setwise.COMMON
        settings = {**item.value, **{key: value for key, value in given.items() if key in replaced}}
        label = settings["sub_name"].text() if "sub_name" in settings else ""
        if label and label in labels:
            raise UsageError(f"{settings['sub_name'].place}: {label!r} names two scorers; their names must differ")
        if not label:
            name = settings["name"].text()
            label = next(free for free in _numbered(name) if free not in labels and free not in taken)
        labels.add(label)
        yield settings, item.place, label


def _with_references(plans: list[Scorer], settings: Settings) -> tuple[Scorer, ...]:
    """The scorers among the samples themselves, each followed by its like against the reference where there is one."""
    out = []
    for one in plans:
        out.append(replace(one, reference=None))
        if one.reference is not None and not one.score.own:
            out.append(replace(one, label=one.label + AGAINST_REFERENCE))
    if any(one.reference is not None for one in plans) and not any(one.reference is not None for one in out):
        given = settings.get("reference_path")
        place = f"{plans[0].label}: reference_path" if given is None else given.place
        able = ", ".join(score.by for score in score_table.SCORES if not score.own)
        raise UsageError(
            f"{place}: {plans[0].score.by} is computed from the samples' own neighbours, not those in a reference; "
            f"with a reference choose from {able}"
        )
    return tuple(out)


def _scorer(settings: Settings, where: str | None, label: str, neighbors_given: bool) -> Scorer:
    """The scorer of some settings; `where` is the place of the file that they come from."""
    name = settings["name"].text()
    try:
        score, form = score_table.find(name)
    except UsageError as error:
        raise UsageError(f"{settings['name'].place}: {error}") from None
    metric = _metric(settings.get("distance_metric"))
    k = settings["k"].whole_number() if "k" in settings else DEFAULT_K
    if k < score.least_k:
        raise settings["k"].fail(f"a whole number of at least {score.least_k} for {name}")
    unfit = score.unfit(metric)
    if unfit and not (neighbors_given and "distance_metric" not in settings):
        place = settings["distance_metric"].place if "distance_metric" in settings else where or "metric"
        raise UsageError(f"{place}: {name}: {unfit}")
    threads = settings.get("max_workers")
    return Scorer(
        label=label,
        score=score,
        form=form,
        k=k,
        metric=metric,
        embeddings=None if neighbors_given else _embeddings(settings, where),
        reference=_key(settings["reference_path"], REFERENCE) if "reference_path" in settings else None,
        groups=_groups(settings.get("group_field")),
        threads=None if threads is None else threads.whole_number(),
        metric_given="distance_metric" in settings,
    )


def _embeddings(settings: Settings, where: str | None) -> Key:
    """Where the embeddings are; what arguments name is looked at when it is read."""
    if "embedding_path" in settings:
        return _key(settings["embedding_path"], EMBEDDINGS)
    if where is not None:
        raise UsageError(
            f"{where}: embedding_path: missing; give the .npy file there or as --embeddings (in Python: embeddings=...)"
        )
    return EMBEDDINGS


def _metric(setting: Setting | None) -> metrics.Metric:
    if setting is None:
        return metrics.find("euclidean")
    if setting.is_argument and isinstance(setting.value, metrics.Metric):
        return setting.value
    name = setting.text()
    try:
        return metrics.find(name)
    except UsageError as error:
        raise UsageError(f"{setting.place}: {str(error).removeprefix('metric: ')}") from None


def _groups(setting: Setting | None) -> str | None:
    """The name of the groups: the field, or GROUPS where their values are given."""
    if setting is None:
        return None
    return GROUPS if setting.is_argument and not isinstance(setting.value, str) else setting.text()


def _key(setting: Setting, argument: str) -> Key:
    return argument if setting.is_argument else setting.file()


def _value(setting: Setting | None) -> Any:
    """A data set: the argument as it is, or the file that the configuration names."""
    if setting is None:
        return None
    return setting.value if setting.is_argument else setting.file()


def _output(setting: Setting | None) -> Path | None:
    if setting is None:
        return None
    return Path(setting.value) if setting.is_argument else Path(setting.text())


def _names(by: Setting) -> list[str]:
    """The names of an argument: a text with commas, or a list of such texts."""
    listed = by.value if isinstance(by.value, list | tuple) else [by.value]
    if not listed:
        raise by.fail("the name of a score")
    names = [name.strip() for one in listed for name in replace(by, value=one).text().split(",")]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"{by.place}: {twice[0]!r} is named twice; name it once")
    return names


def _check_unused(settings: Settings) -> None:
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


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _has(item: Setting, key: str) -> bool:
    return isinstance(item.value, dict) and key in item.value
