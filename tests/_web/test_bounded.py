"""Which redirects are followed."""

import pytest

from scggml._web.bounded import _allowed


@pytest.mark.parametrize(
    ("url", "target", "alone", "with_hash"),
    [
        ("https://a.org/x", "https://a.org/y", True, True),
        ("https://a.org/x", "https://a.org:443/y", True, True),
        ("https://a.org/x", "https://A.org/y", True, True),
        ("http://a.org/x", "https://a.org/x", True, True),
        ("http://a.org:8080/x", "http://a.org:8080/y", True, True),
        ("https://a.org/x", "y", True, True),
        ("https://a.org/x", "/y?z", True, True),
        ("https://a.org/x", "//b.org/x", False, True),
        ("https://a.org/x", "https://b.org/x", False, True),
        ("https://a.org/x", "https://a.org.b.org/x", False, True),
        ("https://a.org/x", "https://a.org@b.org/x", False, True),
        ("https://a.org/x", "https://a.org:8443/x", False, True),
        ("http://a.org:8080/x", "https://a.org/x", False, True),
        ("http://a.org/x", "http://b.org/x", False, True),
        ("https://a.org/x", "http://a.org/x", False, False),
        ("https://a.org/x", "file:///etc/passwd", False, False),
        ("http://a.org/x", "ftp://a.org/x", False, False),
        ("https://a.org/x", "https://a.org:port/x", False, False),
        ("https://a.org/x", "https://[a.org/x", False, False),
    ],
)
def test_a_redirect_may_not_lead_elsewhere(url, target, alone, with_hash):
    assert _allowed(url, target, anywhere=False) is alone
    assert _allowed(url, target, anywhere=True) is with_hash
