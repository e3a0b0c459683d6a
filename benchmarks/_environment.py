"""An environment for each package that scggml is compared with, since they want other versions of what it needs."""

import re
import subprocess
import sys
import venv
from collections.abc import Sequence

from _worker import HERE

REFERENCE = "ggml-ot==0.9.94"


def environment_python(requirement: str, *, first: Sequence[str] = ()) -> str:
    """Return the interpreter of a package's environment, which is made if it is not there.

    Parameters
    ----------
    requirement
        What to install, with its version, such as `"ggml-ot==0.9.94"`; its name is that of the folder.
    first
        Packages to install before it, held by `constraints.txt`.
    """
    name = re.split(r"[\[=<>!~ ]", requirement, maxsplit=1)[0]
    folder = HERE / f".venv-{name}"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    ready = folder / ".ready"
    if not (ready.exists() and ready.read_text(encoding="utf-8") == requirement):
        print(f"Installing {requirement} into {folder} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        constraints = ["-c", str(HERE.parent / "constraints.txt")]
        for what in (*first, requirement):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *constraints, what], check=True)
        ready.write_text(requirement, encoding="utf-8")
    return str(python)


def reference_python() -> str:
    """Return the interpreter of the reference's environment."""
    # torch first and pinned: the file for CPUs, as in the tests
    return environment_python(REFERENCE, first=("torch",))
