"""How Sphinx builds these pages: `make docs`."""

import vicinal

project = "vicinal"
author = "the vicinal developers"
version = release = vicinal.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"vicinal {release}"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# Links to files of the repository that are no pages, such as ../examples, are left as they are.
suppress_warnings = ["myst.xref_missing"]
