"""The options of all commands as the page about the command line lists them.

`python tests/_page.py` writes them into the page.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from typer.main import get_command

from scggml._cli.app import COMMANDS, make_app

PAGE = Path(__file__).parents[1] / "docs" / "command_line.md"
COMMON = ("seed", "n_jobs", "config", "json", "progress", "verbose", "debug", "help")


def tables() -> dict[str, str]:
    """The table of each command, and that of what all of them have."""
    commands = get_command(make_app()).commands
    assert list(commands) == list(COMMANDS)
    found = {name: table(command, common=False) for name, command in commands.items()}
    return found | {"common": table(commands["learn"], common=True)}


def table(command, *, common: bool) -> str:
    rows = [row for name, row in options(command) if (name in COMMON) == common]
    return "\n".join(["| option | |", "|---|---|", *rows])


def options(command) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if parameter.param_type_name == "option":
            flag = ", ".join([*parameter.opts[::-1], *parameter.secondary_opts])
            yield parameter.name, f"| `{flag}` | {short(parameter.help or '')} |"


def short(text: str) -> str:
    """The first sentence, and what is in brackets at the end."""
    body, bracket, rest = re.fullmatch(r"(.*?)( \[(?:default|required)[^\]]*\])?()", text, re.DOTALL).groups()
    first = re.split(r"(?<=[^.\d][.]) (?=[A-Z`\"])", body, maxsplit=1)[0]
    return inspect.cleandoc(first + (bracket or "") + rest).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def written(text: str) -> str:
    """The page with the tables as they are now."""
    for name, rows in tables().items():
        text = re.sub(
            rf"(<!-- options: {name} -->\n).*?(<!-- end -->)",
            lambda m, r=rows: f"{m[1]}\n{r}\n\n{m[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is written\n")
