"""Check that all links inside the built pages lead somewhere: files, and places in them.

python docs/check_links.py docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ADDRESSES = {"href", "src", "srcset", "data-src"}


class Page(HTMLParser):
    """What a page refers to, and the places in it that can be referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect addresses, `id` and `name`."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.places.add(value)
            elif name in ADDRESSES and not (tag == "link" and ("rel", "canonical") in attrs):
                self.links.append(value)


def dangling(folder: Path) -> list[str]:
    """Return the links inside the pages of a folder that lead nowhere, each with its page."""
    files = [path.resolve() for path in folder.rglob("*.html") if "_static" not in path.parts]  # the theme's templates
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in files}
    found = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            place = unquote(parts.fragment)
            missing = not target.exists() or (place and target in pages and place not in pages[target].places)
            if missing and link != "#":
                found.append(f"{path.relative_to(folder.resolve())}: {link}")
    return sorted(found)


def main() -> None:
    """Print dangling links and fail if there are any."""
    found = dangling(Path(sys.argv[1]))
    print("\n".join(found) or "All links inside resolve.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
