"""Tutorials are listed in their order, stored without outputs, and end with the versions; `make docs` executes them."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"), key=lambda path: int(path.stem.split("_")[0]))


def test_the_page_lists_them_in_the_order_of_their_numbers() -> None:
    page = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"```\{toctree\}\n(?::.*\n)*\n((?:\w+\n)+)```", page)
    assert listed.split() == [path.stem for path in TUTORIALS]
    assert [int(path.stem.split("_")[0]) for path in TUTORIALS] == list(range(1, len(TUTORIALS) + 1))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_has_its_number_no_outputs_and_the_versions_at_its_end(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith(f"# {path.stem.split('_')[0]}. ")
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert "".join(code[-1]["source"]) == "session_info()"
