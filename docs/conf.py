"""Sphinx settings; `make docs` builds."""

import inspect
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT / "examples")]

from gallery_page import write_page  # noqa: E402
from inventories import make_inventories  # noqa: E402
from types_shown import written  # noqa: E402

project = "scggml"
author = "The scggml developers"
copyright = author
version = release = installed("scggml")
repository = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.linkcode",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",  # after napoleon
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinxext.opengraph",
    "citations",
    "mathml",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "gallery/plots.md", "jupyter_execute", "**.ipynb_checkpoints"]
nitpicky = True
nitpick_ignore = [
    ("py:class", "gprofiler.gprofiler.GProfiler"),  # a package without pages of its own
    ("py:class", "seaborn.matrix.ClusterGrid"),  # seaborn has no page of it
]
nitpick_ignore_regex = [("py:class", r"scggml\._core\..*")]  # what options hand to each other inside has no pages
suppress_warnings = ["config.cache"]  # a function as a setting (typehints_formatter) is not kept between builds

html_theme = "sphinx_book_theme"
html_title = "scggml"
html_static_path = ["_static"]
html_css_files = ["scggml.css"]
html_favicon = "_static/favicon.svg"
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo-dark.svg", "alt_text": "scggml"},
    "navbar_persistent": [],  # one search box: the one in the sidebar
    "repository_url": repository,
    "use_repository_button": True,
    "use_issues_button": True,
    "show_toc_level": 2,
}

autosummary_generate = True
# Where file names ignore case, the pages of `metric` and `Metric` would be one file.
autosummary_filename_map = {"scggml.get.Metric": "scggml.get.Metric-class"}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
default_role = "literal"  # single backticks in docstrings are code
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_attr_annotations = False
napoleon_use_rtype = False

always_use_bars_union = True
typehints_defaults = "comma"
typehints_formatter = written

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

intersphinx_mapping = make_inventories(HERE / "inventories.toml", HERE / "_build" / "inventories")

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

ogp_site_url = os.environ.get("READTHEDOCS_CANONICAL_URL", "https://scggml.readthedocs.io/en/latest/")
ogp_image = "_static/front.png"
ogp_enable_meta_description = True

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
nb_execution_mode = "force"  # a cached output would hide that the package has changed
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 600

# Sphinx reads no file outside its folder: build from copies of the notebooks (git ignores them).
for copy in (HERE / "tutorials").glob("*.ipynb"):
    copy.unlink()
for notebook in (ROOT / "tutorials").glob("*.ipynb"):
    shutil.copy2(notebook, HERE / "tutorials")

# Data of the tutorials, if they lie beside the repository as for the tests; else the cache and the network have them.
data = Path(os.environ.get("SCGGML_TEST_DATA", ROOT.parent / "shared" / "data"))
if (data / "downloads").is_dir():
    os.environ.setdefault("SCGGML_DATA", str(data / "downloads"))

# The pictures of the gallery, drawn by this version: anew where a source is younger than they are.
sheet = HERE / "gallery" / "gallery.png"
sources = [ROOT / "examples" / "gallery.py", *(ROOT / "src").rglob("*.py")]
if not sheet.exists() or sheet.stat().st_mtime < max(path.stat().st_mtime for path in sources):
    drawn = subprocess.run(
        [sys.executable, ROOT / "examples" / "gallery.py", "--folder", sheet.parent],
        check=False,
        capture_output=True,  # all bars of progress
        text=True,
    )
    if drawn.returncode:
        raise RuntimeError(f"The gallery was not drawn:\n{drawn.stderr}")
write_page(sheet.parent)


def linkcode_resolve(domain: str, info: dict[str, Any]) -> str | None:
    """Return the address of the lines in the repository where an object is written."""
    if domain != "py" or not info["module"]:
        return None
    thing = import_module(info["module"])
    for name in info["fullname"].split("."):
        thing = getattr(thing, name, None)
    thing = inspect.unwrap(getattr(thing, "fget", thing)) if thing is not None else None
    try:
        lines, first = inspect.getsourcelines(thing)
        path = Path(inspect.getsourcefile(thing)).relative_to(ROOT)
    except (TypeError, ValueError, OSError):  # an attribute, which has no lines of its own
        return None
    return f"{repository}/blob/main/{path.as_posix()}#L{first}-L{first + len(lines) - 1}"
