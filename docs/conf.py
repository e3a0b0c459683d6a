"""Sphinx settings; `make docs` builds."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sphinx.util.typing import stringify_annotation

HERE = Path(__file__).parent

project = "scggml"
author = "The scggml developers"
copyright = author
version = release = installed("scggml")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]

html_theme = "sphinx_book_theme"
html_title = "scggml"
html_theme_options = {"show_toc_level": 2}

autosummary_generate = True
# Where file names ignore case, the pages of `metric` and `Metric` would be one file.
autosummary_filename_map = {"scggml.get.Metric": "scggml.get.Metric-class"}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
default_role = "literal"  # single backticks in docstrings are code
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_attr_annotations = False
napoleon_use_rtype = False

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

myst_enable_extensions = ["amsmath", "dollarmath"]
nb_execution_mode = "force"  # a cached output would hide that the package has changed
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 600

# Sphinx reads no file outside its folder: build from copies of the notebooks (git ignores them).
for copy in (HERE / "tutorials").glob("*.ipynb"):
    copy.unlink()
for notebook in (HERE.parent / "tutorials").glob("*.ipynb"):
    shutil.copy2(notebook, HERE / "tutorials")

# Data of the tutorials, if they lie beside the repository as for the tests; else the cache and the network have them.
data = Path(os.environ.get("SCGGML_TEST_DATA", HERE.parents[1] / "shared" / "data"))
if (data / "downloads").is_dir():
    os.environ.setdefault("SCGGML_DATA", str(data / "downloads"))

# The pictures of the page "Gallery", drawn by this version.
subprocess.run([sys.executable, HERE.parent / "examples" / "gallery.py", "--folder", HERE / "gallery"], check=True)

# Types of arrays as they are written in the code, not as Python spells them out.
ARRAYS = {"ArrayLike": ArrayLike} | {
    f"NDArray[{t.__name__}]": NDArray[t] for t in (np.bool_, np.float32, np.float64, np.int32, np.int64, np.str_)
}


def short_arrays(*event):
    """Write array types in a signature by their short names."""
    signature, returns = event[-2:]
    for short, annotation in ARRAYS.items():
        for mode in ("smart", "fully-qualified-except-typing"):
            long = stringify_annotation(annotation, mode)
            signature, returns = (text and text.replace(long, short) for text in (signature, returns))
    return signature, returns


def setup(app):
    """Register what the settings above cannot say."""
    app.connect("autodoc-process-signature", short_arrays)
