import pandas as pd

from scggml._report.html import (
    ABSENT,
    bullets,
    code,
    facts,
    figure,
    join,
    page,
    paragraph,
    rounded,
    section,
    small,
    table,
    tag,
)

EVIL = "<script>alert(1)</script>\"'&"


def test_every_text_is_escaped() -> None:
    frame = pd.DataFrame({EVIL: [EVIL], "n": [1.5]})
    parts = join(
        paragraph(EVIL), EVIL, bullets([EVIL]), code([EVIL]), facts({EVIL: EVIL}), table(frame, EVIL),
        figure(b"", "image/png", EVIL, EVIL), tag("p", EVIL, title=EVIL),
    )  # fmt: skip
    text = page(EVIL, "p {}\n", section("a", EVIL, parts))
    assert "<script" not in text
    assert "alert(1)</script>" not in text
    assert 'title="&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;"' in text
    assert 'alt="&lt;script' in text


def test_a_page_allows_nothing_from_elsewhere() -> None:
    text = page("t", "p {}\n", paragraph("x"))
    assert "default-src 'none'" in text
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_columns_are_rounded_alike() -> None:
    assert rounded(pd.Series([12.345, 0.1])) == ["12.3", "0.1"]
    assert rounded(pd.Series([1.0, 20.0])) == ["1", "20"]
    assert rounded(pd.Series(["a", None])) == ["a", ABSENT]
    assert rounded(pd.Series([], dtype=float)) == []
    assert small(pd.Series([0.05, 1e-9])) == ["0.050", "1.0e-09"]


def test_nothing_is_left_out_and_none_is_skipped() -> None:
    assert join("a", None, paragraph("b")).text == "<p>a</p>\n<p>b</p>"
    assert bullets([]) is None


def test_two_columns_of_one_name_are_two_columns() -> None:
    frame = pd.DataFrame([["a", 1], ["b", 2]], columns=["x", "x"])
    assert table(frame, "t").text.count("<td") == 4
    assert '<td class="number">2</td>' in table(frame, "t").text
