r"""Write formulas as MathML, which browsers draw by themselves: no script, no font and no network.

LaTeX is converted by latex2mathml. Browsers know no letter styles of MathML, so that bold and double-struck letters
are written as the characters of Unicode that they are.
"""

import re
import unicodedata

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.writers.html5 import HTML5Translator

REWRITTEN = {r"\arg": r"\operatorname{arg}"}
"""Commands that the converter does not know, in terms of those that it knows."""

STYLED = re.compile(r'<(mi|mn)([^>]*?) mathvariant="(bold|double-struck)"([^>]*)>(\w)</\1>')
NAMES = {"bold": "MATHEMATICAL BOLD", "double-struck": "MATHEMATICAL DOUBLE-STRUCK"}
OWN = {"double-struck R": "\N{DOUBLE-STRUCK CAPITAL R}", "double-struck N": "\N{DOUBLE-STRUCK CAPITAL N}"}
"""Letters that Unicode had before it had the others of their style."""


def styled(match: re.Match[str]) -> str:
    """Return a letter or digit in its style as one character of Unicode."""
    tag, before, style, after, letter = match.groups()
    character = OWN.get(f"{style} {letter}")
    if character is None:
        kind = unicodedata.name(letter).replace("LATIN ", "").replace(" LETTER", "")
        character = unicodedata.lookup(f"{NAMES[style]} {kind}")
    return f"<{tag}{before}{after}>{character}</{tag}>"


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
    return STYLED.sub(styled, mathml)


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
