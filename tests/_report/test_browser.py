"""The report as a browser shows it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from _browser import Browser
from _command_line import good
from _learned import ONE

pytestmark = pytest.mark.slow

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WAIT = "Promise.all([...document.images].map(i => i.decode())).then(() => document.images.length)"


@pytest.fixture(scope="module")
def browser(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with the report of a small cohort."""
    found = Browser(tmp_path_factory.mktemp("browser") / "profile")
    try:
        path = results / "browser.html"
        words = ["--gene-sets", results / "sets.gmt", "--cell-type-key", "cell_type", "--title", "x" * 90]
        good("report", results / "evaluated.h5ad", "-o", path, *words, *ONE)
        found.width(1200)
        found.open(path.as_uri())
        yield found
    finally:
        found.close()


def test_all_pictures_are_drawn(browser: Browser) -> None:
    assert browser.value(WAIT) >= 8
    sizes = browser.value("[...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
    assert all(width > 50 and height > 50 for width, height in sizes)


def test_nothing_is_asked_of_a_network_and_nothing_is_complained_about(browser: Browser) -> None:
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert [url[:60] for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1
    said = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
    assert [e["params"] for e in browser.events if e["method"] in said] == []


def test_the_policy_forbids_a_network(browser: Browser) -> None:
    # a picture from elsewhere is not even asked for
    asked = (
        "new Promise(done => { const i = new Image(); i.onerror = () => done('refused'); i.onload = () => done('in');"
    )
    assert browser.value(asked + "i.src = 'http://127.0.0.1:9/x.png'; })") == "refused"
    browser.events[:] = [e for e in browser.events if "127.0.0.1" not in str(e) and e["method"] != "Log.entryAdded"]


def test_headings_are_in_order(browser: Browser) -> None:
    levels = browser.value("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("width", [320, 400, 800, 1200])
def test_nothing_is_wider_than_the_window(browser: Browser, width: int) -> None:
    browser.width(width)
    assert browser.value("innerWidth") == width
    assert browser.value(OVERFLOW) == 0


def test_dark_mode_changes_the_page_and_not_the_pictures(browser: Browser) -> None:
    colors = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.images[0]).backgroundColor]"
    browser.width(1200)
    light = browser.value(colors)
    browser.width(1200, dark=True)
    dark = browser.value(colors)
    assert light == ["rgb(255, 255, 255)", "rgb(255, 255, 255)"]
    assert dark == ["rgb(20, 24, 29)", "rgb(255, 255, 255)"]
    browser.width(1200)


def test_links_inside_the_page_have_a_target(browser: Browser) -> None:
    missing = "[...document.querySelectorAll('a')].filter(a => !document.querySelector(a.getAttribute('href'))).length"
    assert browser.value("document.querySelectorAll('nav a').length") == 7
    assert browser.value(missing) == 0
