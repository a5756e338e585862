"""Configuration of the documentation."""

import zlib
from pathlib import Path

from sphinx_gallery.sorting import FileNameSortKey

import sklearn_uniroute

project = "sklearn_uniroute"
author = "the sklearn_uniroute developers"
copyright = f"2026, {author}"
version = release = sklearn_uniroute.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    # Formulas need no network.
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["templates"]
exclude_patterns = ["_build", "examples", "templates"]
suppress_warnings = [
    # The changelog and the results stand on their own elsewhere, with headings to suit.
    "myst.header",
    # The gallery keeps a function in its configuration.
    "config.cache",
]
default_role = "literal"
nitpicky = True

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_logo = html_favicon = "static/logo.svg"
html_search_scorer = str(Path(__file__).parent / "static" / "scorer.js")
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "logo": {"text": project},
}
# Pages that stand alone have no section to navigate.
_ALONE = ("index", "quickstart", "theory", "comparison", "migration", "contributing", "changelog")
html_sidebars = {page: [] for page in _ALONE}
# Tables of results take the whole width.
html_sidebars["results/*"] = []

# The contents of a class page list `fit`, not `KMeansRouter.fit`.
toc_object_entries_show_parents = "hide"
autosummary_generate = True
# Signatures are legible without types, and docstrings give them.
autodoc_typehints = "none"
numpydoc_show_class_members = False

plot_include_source = False
plot_html_show_formats = False
plot_html_show_source_link = False
plot_formats = [("png", 110)]
plot_rcparams = {"figure.figsize": (7, 3.5), "figure.constrained_layout.use": True}
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "backreferences_dir": "api/backreferences",
    "doc_module": ("sklearn_uniroute",),
    "show_memory": False,
    "min_reported_time": 5,
    # The page of times would load scripts from the network.
    "write_computation_times": False,
    "remove_config_comments": True,
}
(Path(__file__).parent / "api" / "backreferences").mkdir(parents=True, exist_ok=True)


# Objects of scikit-learn that pages refer to, so that a build needs no network. A new one goes into
# inventory.txt.
_INVENTORY = Path(__file__).parent / "_build" / "sklearn.inv"
_ENTRIES = [
    f"{entry} 1 modules/generated/$.html#$ -\n"
    for entry in (Path(__file__).parent / "inventory.txt").read_text().splitlines()
]
_INVENTORY.parent.mkdir(exist_ok=True)
_INVENTORY.write_bytes(
    b"# Sphinx inventory version 2\n# Project: scikit-learn\n# Version: 1\n"
    b"# The remainder of this file is compressed using zlib.\n"
    + zlib.compress("".join(_ENTRIES).encode())
)
intersphinx_mapping = {"sklearn": ("https://scikit-learn.org/stable/", str(_INVENTORY))}


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out what scikit-learn documents, such as `get_params` and `set_fit_request`."""
    module = getattr(obj, "__module__", None) or ""
    return True if module.startswith("sklearn.") else None


def setup(app):
    """Connect to Sphinx."""
    app.connect("autodoc-skip-member", skip_inherited)
