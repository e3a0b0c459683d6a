r"""Write formulas as MathML, which browsers draw by themselves: no script, no font and no network.

LaTeX is converted by latex2mathml. Browsers know no letter styles of MathML, so that bold and double-struck letters
are written as the characters of Unicode that they are.
"""

import re
import unicodedata
from xml.etree.ElementTree import Element, fromstring, register_namespace, tostring

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.writers.html5 import HTML5Translator

register_namespace("", "http://www.w3.org/1998/Math/MathML")

REWRITTEN = {r"\arg": r"\operatorname{arg}"}
"""Commands that the converter does not know, in terms of those that it knows."""

NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
NAMES = {"bold": "MATHEMATICAL BOLD", "double-struck": "MATHEMATICAL DOUBLE-STRUCK"}
OWN = {"double-struck N": "\N{DOUBLE-STRUCK CAPITAL N}", "double-struck R": "\N{DOUBLE-STRUCK CAPITAL R}"}
"""Letters that Unicode had before it had the others of their style."""


def style(element: Element) -> None:
    """Write a letter or digit in its style as one character of Unicode."""
    name = element.get("mathvariant", "")
    letter = element.text or ""
    if name in NAMES and len(letter) == 1:
        kind = unicodedata.name(letter).replace("LATIN ", "").replace(" LETTER", "")
        element.text = OWN.get(f"{name} {letter}") or unicodedata.lookup(f"{NAMES[name]} {kind}")
        del element.attrib["mathvariant"]


def place_limits(element: Element) -> None:
    """Write what stands at operators such as min below them."""
    if element.tag == f"{NAMESPACE}msub" and (
        element[0].get("movablelimits") == "true" or element[0].text in ("min", "max")
    ):
        element.tag = f"{NAMESPACE}munder"


def to_mathml(latex: str, *, block: bool) -> str:
    """Convert a formula; raise where a command would be shown as it is written."""
    rewritten = latex
    for command, known in REWRITTEN.items():
        rewritten = re.sub(re.escape(command) + r"(?![a-zA-Z])", lambda _, known=known: known, rewritten)
    mathml = convert(rewritten, display="block" if block else "inline")
    if unknown := re.search(r"\\[a-zA-Z]+", mathml):
        raise SphinxError(
            f"{unknown[0]} in the formula {latex!r} is not known to latex2mathml; see docs/_ext/mathml.py"
        )
    root = fromstring(mathml)
    for element in root.iter():
        style(element)
        if block:
            place_limits(element)
    return tostring(root, encoding="unicode")


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula of its own, in a box that scrolls where the page is narrow."""
    self.body.append(self.starttag(node, "div", CLASS="formula"))
    self.body.append(to_mathml(node.astext(), block=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
