"""The page about the command line lists the options that there are."""

import re

from _page import PAGE, tables, written

from scggml._cli.app import COMMANDS


def test_options_are_those_of_the_commands() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- options: (\S+) -->", text) == [*COMMANDS, "common"]
    assert written(text) == text, "run python tests/_page.py"


def test_tables_name_every_option() -> None:
    found = tables()
    assert "`--sample-key`" in found["learn"]
    assert "`--held-out, --no-held-out`" in found["distances"]
    assert "`-o, --output`" in found["report"]
    assert "`--config`" in found["common"]


def test_commands_of_examples_are_known() -> None:
    text = PAGE.read_text(encoding="utf-8")
    used = re.findall(r"^scggml ([\w-]+)", text, re.MULTILINE)
    assert set(used) == set(COMMANDS)
    for line in re.findall(r"^scggml .+?(?<!\\)$", text, re.MULTILINE | re.DOTALL):
        name = line.split()[1]
        flags = set(re.findall(r"--[\w-]+", line))
        assert [flag for flag in flags if f"`{flag}" not in tables()[name] + tables()["common"]] == []
