"""Check that a tag, the sources, the citation and the changelog name one version: `check_version.py v0.1.0`."""

import re
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def versions():
    """Return the version that each file names, and the date of the newest section of the changelog."""
    read = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md")}
    recipe = (ROOT / "release" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\] - (.+)$", read["CHANGELOG.md"], re.MULTILINE)
    return {
        "src/scggml/_version.py": runpy.run_path(str(ROOT / "src" / "scggml" / "_version.py"))["__version__"],
        "CITATION.cff": re.search(r"^version: (\S+)$", read["CITATION.cff"], re.MULTILINE)[1],
        "CHANGELOG.md": newest[1],
        "release/conda/recipe.yaml": re.search(r'^  version: "(\S+)"$', recipe, re.MULTILINE)[1],
    }, newest[2]


def faults(tag, named, date):
    """Yield what keeps a tag from being released."""
    for file, version in named.items():
        if f"v{version}" != tag:
            yield f"The tag is {tag}, but {file} names {version}."
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        yield f'The newest section of CHANGELOG.md is dated "{date}": write the day of the release, such as 2027-01-31.'


if __name__ == "__main__":
    sys.exit("\n".join(faults(sys.argv[1], *versions())) or None)
