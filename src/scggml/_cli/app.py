"""The commands, and what all of them share."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scggml import __version__
from scggml._cli import demo, distances, enrich, evaluate, genes, learn, predict, report
from scggml._cli.arguments import CONFIG, Debug, Jobs, Json, Progress, Seed, Verbose
from scggml._cli.config import read_config
from scggml._cli.options import Source, option
from scggml._cli.run import Call, as_typed, guarded

Body = Callable[..., None]

COMMANDS: dict[str, tuple[Body, tuple[Source, ...]]] = {
    "learn": (learn.learn, learn.SOURCES),
    "evaluate": (evaluate.evaluate, evaluate.SOURCES),
    "distances": (distances.distances, distances.SOURCES),
    "genes": (genes.genes, genes.SOURCES),
    "enrich": (enrich.enrich, enrich.SOURCES),
    "predict": (predict.predict, predict.SOURCES),
    "report": (report.report, report.SOURCES),
    "demo-cohort": (demo.demo_cohort, demo.SOURCES),
}
"""What each command does, and the functions whose parameters are its options."""

NOT_RECORDED = frozenset({"progress", "verbose", "debug", "json", "config", "n_jobs"})
"""Options without an effect on results."""


def show_version(*, wanted: bool) -> None:
    """Print the version."""
    if wanted:
        typer.echo(f"scggml {__version__}")
        raise typer.Exit


def start(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=lambda v: show_version(wanted=v), is_eager=True),
    ] = False,
) -> None:
    """Find out which genes, and which cells, make groups of patients different."""


def make_app() -> typer.Typer:
    """Return the command line."""
    app = typer.Typer(
        name="scggml", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False
    )
    app.callback()(start)
    for name, (body, sources) in COMMANDS.items():
        app.command(name)(command(name, body, sources))
    return app


def main() -> None:
    """Run the command line."""
    make_app()(prog_name="scggml")


def command(name: str, body: Body, sources: Iterable[Source]) -> Callable[..., None]:
    """Return a function that typer makes a command of: the arguments of the body, and options of functions."""
    by_function = {source.function: source for source in sources}
    own = list(inspect.signature(body).parameters.values())[1:]
    usual = {parameter.name: parameter.default for parameter in own}
    places = [parameter.name for parameter in own if is_argument(parameter)]

    def run(**given: Any) -> None:
        paths = [given[place] for place in places]
        options = {
            n: value
            for n, value in given.items()
            if n not in places and value not in (None, []) and value != usual.get(n)  # typer gives [] for no list
        }
        recorded = {n: value for n, value in options.items() if n not in NOT_RECORDED | {"output", "in_place"}}
        call = Call(by_function, options, as_typed(name, paths, recorded), json=given["json"])
        arguments = {parameter.name: given[parameter.name] for parameter in own}
        with guarded(name, debug=given["debug"], verbose=given["verbose"]):
            body(call, **arguments)

    run.__doc__ = inspect.getdoc(body)
    run.__name__ = body.__name__
    run.__signature__ = inspect.Signature(list(parameters(own, by_function.values())))  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in run.__signature__.parameters.values()}  # type: ignore[attr-defined]
    return run


def parameters(own: Iterable[inspect.Parameter], sources: Iterable[Source]) -> Iterable[inspect.Parameter]:
    """Yield all parameters of a command, each name once."""
    found = {parameter.name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own}
    for source in sources:
        found = found | {parameter.name: parameter for parameter in source.options() if parameter.name not in found}
    for name, annotation, default in (
        ("seed", Seed, None),
        ("n_jobs", Jobs, None),
        (
            "config",
            Annotated[Path | None, typer.Option(help=CONFIG, callback=load, is_eager=True, show_default=False)],
            None,
        ),
        ("json", Json, False),
        ("progress", Progress, None),
        ("verbose", Verbose, False),
        ("debug", Debug, False),
    ):
        found[name] = option(name, annotation, default)
    return found.values()


def load(ctx: typer.Context, config: Path | None) -> Path | None:
    """Take the options of a command from a file, where they are not typed."""
    if config is not None:
        try:
            found = read_config(config, options_of_commands()).get(str(ctx.info_name), {})
            ctx.default_map = as_options(config, found, ctx.command.params)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return config


def as_options(path: Path, found: Mapping[str, Any], known: Iterable[Any]) -> dict[str, Any]:
    """Return values of a file as they are typed: a single one of a list is a list; only switches are true or false."""
    out = {}
    for parameter in known:
        if parameter.name in found:
            value = found[parameter.name]
            if isinstance(value, bool) and not parameter.is_flag:
                raise ValueError(f"{path}: {parameter.name!r} is {value}; it takes a value, and is no switch.")
            if isinstance(value, Mapping):
                raise ValueError(f"{path}: {parameter.name!r} is a table; write its value as it is typed, in quotes.")
            out[parameter.name] = [value] if parameter.multiple and not isinstance(value, list) else value
    return out


def options_of_commands() -> dict[str, set[str]]:
    """Return the names of the options of each command."""
    out = {}
    for name, (body, sources) in COMMANDS.items():
        own = list(inspect.signature(body).parameters.values())[1:]
        out[name] = {p.name for p in parameters(own, sources) if not is_argument(p)} - {"config"}
    return out


def is_argument(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter of a command is given by its place."""
    return any(isinstance(one, type(typer.Argument())) for one in getattr(parameter.annotation, "__metadata__", ()))
