"""How Sphinx builds these pages: `make docs`."""

import inspect
import re
from functools import cached_property
from importlib import import_module
from types import FunctionType
from typing import Any

from docutils import nodes
from numpydoc.xref import DEFAULT_LINKS
from pygments.lexer import inherit
from pygments.lexers.sql import SqlLexer
from pygments.token import Name
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import vicinal

project = "vicinal"
author = "the vicinal developers"
version = release = vicinal.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"vicinal {release}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["code.css"]
nitpicky = True  # a reference that leads nowhere is a warning, and `make docs` fails on warnings
nitpick_ignore_regex = [("py:class", r"(?!vicinal\.).*")]  # the base classes of other packages

MODULES = ("vicinal", *(f"vicinal.{part}" for part in ("estimators", "learn", "lm", "sql")))
PUBLIC = [f"{module}.{name}" for module in MODULES for name in import_module(module).__all__]
LAST = [name.rpartition(".")[2] for name in PUBLIC]
# Every public name by what the docstrings call it: `vicinal.score`, `learn.train`, `Scores`. The last name alone is no
# link where two modules have it, nor that of a function, since `neighbors` and `index` are arguments too.
TARGETS = {last: name for last, name in zip(LAST, PUBLIC, strict=True) if last[0].isupper() and LAST.count(last) == 1}
TARGETS |= {name: name for name in PUBLIC} | {name.removeprefix("vicinal."): name for name in PUBLIC if "." in name[8:]}

autodoc_typehints = "none"  # the docstrings say the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # link these names only: not those of Python and NumPy, which would need a network
numpydoc_xref_aliases = {name: name for name in DEFAULT_LINKS} | {
    name: target for name, target in TARGETS.items() if target.rpartition(".")[2][0].isupper()
}

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3


OBJECTS = [getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in PUBLIC]
DOCUMENTED = {found for found in OBJECTS if inspect.isclass(found)}
UNDERSCORE = re.compile(r"(?<![`\w])(\w+)_(?![\w`])")
MEMBERS = (FunctionType, property, cached_property, classmethod, staticmethod)


class Yql(SqlLexer):
    """SQL with YQL's `$name`."""

    tokens = {"root": [(r"\$\w+", Name.Variable), inherit]}  # noqa: RUF012


def name_or_code(name: str, raw: str, text: str, *_: Any, **__: Any) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """What single backticks of a docstring mean: a link where the text is a public name, else code."""
    code = nodes.literal(raw, text)
    target = TARGETS.get(text)
    if target is None:
        return [code], []
    link = pending_xref("", code, refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=True)
    return [link], []


def members(found: type) -> list[str]:
    """The methods and properties to show of a class: its own, and those of bases that have no entry of their own."""
    shown: dict[str, None] = {}
    for base in found.__mro__:
        if base.__module__.startswith("vicinal.") and (base is found or base not in DOCUMENTED):
            shown |= {name: None for name, value in vars(base).items() if name[0] != "_" and isinstance(value, MEMBERS)}
    return list(shown)


def documented_bases(app: Sphinx, name: str, found: type, options: Any, bases: list[type]) -> None:
    """Leave out base classes that have no entry of their own."""
    bases[:] = [base for base in bases if base in DOCUMENTED or not base.__module__.startswith("vicinal.")]


class Reference(SphinxDirective):
    """A table of the names in its body, and below it the docstring of each."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the nodes of both."""
        names = [line.strip() for line in self.content if line.strip()]
        objects = {name: getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in names}
        text = ".. autosummary::\n   :nosignatures:\n\n"
        text += "".join(f"   {name}\n" for name, found in objects.items() if callable(found))
        for name, found in objects.items():
            if inspect.isclass(found):
                shown = "   :show-inheritance:\n" if issubclass(found, (*DOCUMENTED - {found}, Exception)) else ""
                text += f"\n.. autoclass:: {name}\n   :members: {', '.join(members(found))}\n{shown}"
            elif callable(found):
                text += f"\n.. autofunction:: {name}\n"
            else:  # a tuple of rows, each with a name
                rows = ", ".join(f"``{getattr(row, 'by', row.name)}``" for row in found)
                text += f"\n.. py:data:: {name}\n\n   A tuple of `{type(found[0]).__name__}`: {rows}.\n"
        return self.parse_text_to_nodes(text)


def escape_names(app: Sphinx, what: str, name: str, found: object, options: Any, lines: list[str]) -> None:
    """Keep docutils from reading names such as classes_ as links."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else UNDERSCORE.sub(r"\1\_", line) for line in lines]


def unlink_text(app: Sphinx, page: nodes.document) -> None:
    """Take back the links that docutils makes of text such as FILE:FIELD and mean@reference."""
    for link in list(page.findall(nodes.reference)):
        if link.get("refuri", "").partition(":")[0] in ("FILE", "mailto"):
            link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """Register the above; called by Sphinx."""
    app.add_lexer("sql", Yql)
    app.add_role("name-or-code", name_or_code)
    app.connect("autodoc-process-docstring", escape_names, priority=900)  # after numpydoc
    app.connect("doctree-read", unlink_text)
    app.connect("autodoc-process-bases", documented_bases)
    app.add_directive("reference", Reference)


default_role = "name-or-code"
