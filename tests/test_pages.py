"""Code in the pages of the documentation calls what there is, by arguments that there are; links inside resolve."""

import ast
import importlib.util
import inspect
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import scggml as sg

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "api").glob("*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
OPTIONS = {name for name in sg.tl.__all__ if name[0].isupper()}
RUN = ("installation.md", "method.md")
"""Pages all of whose blocks run as they stand."""


def imported(path: Path) -> ModuleType:
    """Import a script of the repository that is part of no package."""
    spec = importlib.util.spec_from_file_location(f"_imported_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def codes(text: str) -> list[str]:
    """Return the blocks of Python in a page, and what of its inline code is Python."""
    blocks = BLOCK.findall(text)
    inline = [code for code in INLINE.findall(BLOCK.sub("", text)) if "(" in code or code.startswith("sg.")]
    return [*blocks, *(code for code in inline if parsed(code) is not None)]


def parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except SyntaxError:
        return None


def calls_and_names(code: str) -> Iterator[tuple[str, Any, ast.Call | None]]:
    """Yield each name of the package that code uses, with what it is and the call of it, if it is called."""
    tree = ast.parse(code)
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Name) or id(node) in inner:
            continue
        name = ast.unparse(node)
        if name.split(".")[0] in OPTIONS:
            name = f"sg.tl.{name}"
        if re.fullmatch(r"sg(\.\w+)+", name) and name != "sg.__version__":
            yield name, found(name), called.get(id(node))


def found(name: str) -> Any:
    """Return what a name such as `sg.tl.ggml` is, or raise."""
    thing: Any = sg
    for part in name.split(".")[1:]:
        thing = getattr(thing, part)
    return thing


def fits(thing: Any, call: ast.Call) -> None:
    """Raise a TypeError unless the arguments are some that the function takes."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return
    keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
    given = [argument for argument in call.args if not is_gap(argument)]
    inspect.signature(thing).bind_partial(*given, **keywords)


def is_gap(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and argument.value is ...


def test_what_code_uses_is_found() -> None:
    code = 'sg.tl.ggml(adata, "a", "b", method=Triplets.paper())\nsc.pp.pca(adata)'
    assert [name for name, _, call in calls_and_names(code) if call] == ["sg.tl.ggml", "sg.tl.Triplets.paper"]
    with pytest.raises(AttributeError):
        found("sg.tl.gglm")
    for wrong in ("sg.tl.ggml(adata, labels='b')", "sg.tl.ggml(adata, 'a', 'b', 'c')"):
        ((_, thing, call),) = calls_and_names(wrong)
        assert call is not None
        with pytest.raises(TypeError):
            fits(thing, call)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_in_pages_calls_what_there_is(page: Path) -> None:
    for code in codes(page.read_text(encoding="utf-8")):
        for name, thing, call in calls_and_names(code):
            try:
                if call is not None:
                    fits(thing, call)
            except TypeError as error:
                raise AssertionError(f"{name} in {code!r}: {error}") from error


def test_blocks_that_need_nothing_run() -> None:
    done = 0
    for name in RUN:
        for code in BLOCK.findall((ROOT / "docs" / name).read_text(encoding="utf-8")):
            exec(compile(code, name, "exec"), {})
            done += 1
    assert done >= 2


def test_code_of_the_gallery_calls_what_there_is() -> None:
    gallery = imported(ROOT / "examples" / "gallery.py")
    plots = [plot for plots in gallery.SECTIONS.values() for plot in plots]
    assert sorted(plot.name for plot in plots) == sorted(sg.pl.__all__)
    for plot in plots:
        assert plot.call.startswith(f"sg.pl.{plot.name}(")
        for code in (gallery.LEARN, *plot.needs, plot.call):
            for _, thing, call in calls_and_names(code):
                assert call is not None
                fits(thing, call)


def test_columns_of_another_cohort_take_the_place_of_those_shown() -> None:
    gallery = imported(ROOT / "examples" / "gallery.py")
    columns = {"sample_id": "donor", "label": "it's", "cell_type": None, "X_pca": "X_scVI"}
    code = gallery.for_columns(gallery.LEARN, columns)
    assert code == "sg.tl.ggml(adata, 'donor', \"it's\", use_rep='X_scVI')"
    assert gallery.for_columns(gallery.GENES, columns) == "sg.tl.rank_genes(adata, cell_type_key=None)"


def test_dangling_links_are_found(tmp_path: Path) -> None:
    check = imported(ROOT / "docs" / "check_links.py")
    (tmp_path / "a").mkdir()
    (tmp_path / "one.html").write_text('<h1 id="top">x</h1><a href="a/two.html#there">y</a><img src="a/b.png">')
    (tmp_path / "a" / "two.html").write_text('<p id="there"></p><a href="../one.html#top"></a><a href="https://x.y/z">')
    assert check.dangling(tmp_path) == ["one.html: a/b.png"]
    (tmp_path / "a" / "b.png").write_bytes(b"")
    assert check.dangling(tmp_path) == []
    (tmp_path / "a" / "two.html").write_text('<p id="elsewhere"></p><a href="../three.html"></a><a href="#gone"></a>')
    assert check.dangling(tmp_path) == ["a/two.html: #gone", "a/two.html: ../three.html", "one.html: a/two.html#there"]


def test_inventories_have_each_name_with_its_page(tmp_path: Path) -> None:
    make = imported(ROOT / "docs" / "_ext" / "inventories.py").make_inventories
    mapping = make(ROOT / "docs" / "inventories.toml", tmp_path)
    url, (path,) = mapping["anndata"]
    head, packed = Path(path).read_bytes().split(b"zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2\n# Project: anndata\n")
    assert "anndata.AnnData py:class 1 generated/anndata.AnnData.html#anndata.AnnData -" in (
        zlib.decompress(packed).decode().splitlines()
    )
    assert url == "https://anndata.readthedocs.io/en/stable/"
    assert {"matplotlib", "numpy", "pandas", "python", "scanpy"} < set(mapping)


def test_accuracies_on_the_page_of_choices_stand_among_the_benchmarks():
    pages = ROOT / "docs"
    measured = (pages / "benchmarks.md").read_text(encoding="utf-8")
    measured += "".join(table.read_text(encoding="utf-8") for table in sorted((pages / "figures").glob("*.csv")))
    chosen = set(re.findall(r"(?<![.\d])\.\d{3}\b", (pages / "choosing.md").read_text(encoding="utf-8")))
    assert len(chosen) > 20
    assert {number for number in chosen if not re.search(rf"(?<!\d)0?{re.escape(number)}(?!\d)", measured)} == set()
