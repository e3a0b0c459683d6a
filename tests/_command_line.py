"""Run the command line in this process."""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from scggml._cli.app import make_app


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def call(*words: object) -> Done:
    """Run a command; its exit code and what it printed."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            make_app()([str(word) for word in words], prog_name="scggml")
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def good(*words: object) -> str:
    """Run a command that is to succeed; what it printed."""
    done = call(*words)
    assert done.code == 0, done.err
    return done.out
