"""Try the installed package as a new user would: the code of the README as it stands, and the demo.

`make test-dist` runs this in an environment that holds the wheel and what it depends on, nothing else.
"""

import os
import re
import runpy
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[1]


def readme_code():
    """Return the first block of Python in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)


def check_installed():
    """Stop unless the package that is imported is a wheel with its types, of the version in the sources."""
    package = files("scggml")
    if ROOT in Path(str(package)).parents and "site-packages" not in str(package):
        sys.exit(f"{package} is the checkout, not an installed wheel: run make test-dist.")
    for name in ("py.typed", "__init__.pyi", "tl/__init__.pyi"):
        if not package.joinpath(name).is_file():
            sys.exit(f"The wheel lacks scggml/{name}.")
    source = runpy.run_path(str(ROOT / "src" / "scggml" / "_version.py"))["__version__"]
    if version("scggml") != source:
        sys.exit(f"scggml {version('scggml')} is installed, but the sources are {source}: run make test-dist.")


def run(name, *command):
    """Run a command here, and say how long it took."""
    print(f"== {name}", flush=True)
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, env=os.environ | {"MPLBACKEND": "Agg"})
    print(f"== {name}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as elsewhere:
        os.chdir(elsewhere)
        check_installed()
        run("README", "-c", readme_code())
        run("demo", str(ROOT / "examples" / "demo.py"))
        figures = sorted(path.name for path in Path().rglob("*.png"))
        print(f"figures: {', '.join(figures)}")
        sys.exit(None if figures else "No figure was written.")
