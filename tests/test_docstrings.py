"""The docstrings of public names are whole numpydoc: a summary, every parameter by its name and in order, the value."""

import inspect
from importlib import import_module
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

from public import PUBLIC
from vicinal.data.results import Columns

# No docstring, sections in another order, no summary, a summary of several lines, unknown or misplaced parameters, no
# type, no Returns. Undocumented parameters (PR01) are looked for below, since results name theirs as Attributes.
CHECKS = {"GL06", "GL07", "GL08", "SS01", "SS06", "PR02", "PR03", "PR04", "PR10", "RT01", "YD01"}


def public(name: str) -> Any:
    package, _, last = name.rpartition(".")
    return getattr(import_module(package), last)


CALLABLE = [name for name in PUBLIC if callable(public(name))]
CLASSES = [name for name in PUBLIC if inspect.isclass(public(name))]


def made_by_users(found: Any) -> bool:
    """Whether a reader needs the parameters here: not of scikit-learn's, of abstract classes, and of results."""
    if not inspect.isclass(found):
        return True
    own = getattr(found.__init__, "__module__", "").startswith("vicinal.") and "__new__" not in vars(found)
    return own and not issubclass(found, Exception) and (found is Columns or not issubclass(found, Columns))


@pytest.mark.parametrize("name", CALLABLE)
def test_a_docstring_is_whole(name: str) -> None:
    assert [f"{code} {what}" for code, what in validate(name)["errors"] if code in CHECKS] == []


@pytest.mark.parametrize("name", [name for name in CALLABLE if made_by_users(public(name))])
def test_every_parameter_is_documented(name: str) -> None:
    found = public(name)
    shown = NumpyDocString(inspect.getdoc(found))
    named = {one for part in ("Parameters", "Attributes") for item in shown[part] for one in item.name.split(", ")}
    wanted = {
        ("**" if one.kind is one.VAR_KEYWORD else "*" if one.kind is one.VAR_POSITIONAL else "") + one.name
        for one in inspect.signature(found).parameters.values()
    }
    assert wanted - named == set()


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_method_has_a_docstring_whose_parameters_are_right(name: str) -> None:
    wrong = []
    for method, value in vars(public(name)).items():
        if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, classmethod | property)):
            errors = [code for code, _ in validate(f"{name}.{method}")["errors"]]
            wrong += [(method, code) for code in errors if code in {"GL08", "SS01", "SS06", "PR02", "PR03", "PR10"}]
    assert wrong == []
