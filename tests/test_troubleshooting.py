"""The page "Troubleshooting" has each warning of the package and each kind of error, and nothing else."""

import ast
import builtins
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
GAP = "…"
"""Stands for what is different each time, in the page and in messages here."""

COMMANDS = {"BadParameter", "Exit"}
"""What the command line raises, which become exit codes."""

INSIDE = COMMANDS | {"MalformedError", "TooFewDonorsError", "TooLarge", "TooSlow", "Elsewhere", "out_of_pivots"}
"""Errors that the package catches itself, or that are raised as one of a kind that the page has."""


def said(node: ast.AST, names: dict[str, ast.AST]) -> str:
    """Return the text of a message, with a gap for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(said(part, names) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return said(node.left, names) + said(node.right, names)
    if isinstance(node, ast.FormattedValue):
        return said(node.value, {}) if isinstance(node.value, ast.Constant) else GAP
    if isinstance(node, ast.Name) and node.id in names:
        return said(names[node.id], {})
    return GAP


def trees() -> dict[str, ast.Module]:
    folder = ROOT / "src" / "scggml"
    files = sorted(folder.rglob("*.py"))
    return {path.relative_to(folder).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in files}


TREES = trees()


def warned() -> dict[str, str]:
    """Return the message of each warning that says something itself, by file and line."""
    found = {}
    for name, tree in TREES.items():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            parts = list(ast.walk(function))
            names = {
                target.id: part.value
                for part in parts
                if isinstance(part, ast.Assign)
                for target in part.targets
                if isinstance(target, ast.Name)
            }
            for part in parts:
                if isinstance(part, ast.Call) and ast.unparse(part.func) in ("warn", "warnings.warn", "_tell"):
                    text = said(part.args[0], names)
                    if text.strip(GAP + " "):
                        found[f"{name}:{part.lineno}"] = text
    return found


def texts() -> set[str]:
    """Return all texts of the package with gaps."""
    return {
        said(part, {})
        for tree in TREES.values()
        for part in ast.walk(tree)
        if isinstance(part, ast.JoinedStr | ast.BinOp | ast.Constant)
    }


def rows(page: str) -> list[str]:
    """Return what the first column of each table quotes, beginnings of kinds of errors left out."""
    quoted = re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)
    return [text for text in quoted if not text.endswith("Error")]


def has(message: str, row: str) -> bool:
    """Return whether a message has all parts of a row, in their order."""
    parts = [re.escape(part.strip()) for part in row.split(GAP) if part.strip(" :;,.")]
    return re.search(".*?".join(parts), message, flags=re.DOTALL) is not None


WARNED = warned()
ROWS = rows(PAGE)


def test_messages_and_rows_are_found() -> None:
    assert len(WARNED) > 40
    assert len(ROWS) > 60
    assert any("looks like raw counts" in text for text in WARNED.values())
    assert has("adata.obs has 3 columns named", "… has … columns")
    assert not has("adata.obs has 3 rows", "… has … columns")


@pytest.mark.parametrize("place", WARNED)
def test_each_warning_has_a_row(place: str) -> None:
    assert any(has(WARNED[place], row) for row in ROWS), (
        f"scggml/{place} warns {WARNED[place]!r}; add a row to docs/troubleshooting.md"
    )


def test_each_row_is_said_somewhere() -> None:
    known = texts()
    assert [row for row in ROWS if not any(has(text, row) for text in known)] == []


def test_each_kind_of_error_is_explained() -> None:
    raised = {
        ast.unparse(part.exc.func).rpartition(".")[2]
        for tree in TREES.values()
        for part in ast.walk(tree)
        if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call)
    }
    public = {name for name in raised if hasattr(builtins, name) or name == "LinAlgError"}
    assert {"KeyError", "LinAlgError", "TypeError", "ValueError"} <= public
    assert [name for name in sorted(public) if f"| `{name}` |" not in PAGE] == []
    assert {name for name in raised - public if not name.startswith("_")} <= INSIDE | {
        "ContentDecodingError",  # of requests, all of which become ConnectionErrors
        "TooManyRedirects",
    }
