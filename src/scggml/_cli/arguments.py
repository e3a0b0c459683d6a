"""Arguments and options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

Cohort = Annotated[Path, typer.Argument(help="Cells x genes, an h5ad file.", show_default=False)]
Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="File to write; may be given more than once.", show_default=False
    ),
]
InPlace = Annotated[bool, typer.Option("--in-place", help="Store results in the input file.", show_default=False)]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Seed of all that is drawn; the same seed gives the same results. [default: 0]",
        show_default=False,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option("--n-jobs", help="Threads or processes; by default all cores. [default: all]", show_default=False),
]
Progress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress",
        help="Show progress bars on standard error; by default in a terminal.",
        show_default=False,
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Log each step on standard error.", show_default=False)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", show_default=False)]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print results on standard output as JSON.", show_default=False),
]
CONFIG = "TOML or JSON file with options by command ([learn], ...); what is typed here wins."
