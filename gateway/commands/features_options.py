"""``lockgate features``: options and their help texts; what a command does is in the files beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["features_app"]

_FILE_WIDTH = 160

features_app = typer.Typer(
    name="features", help="Load, show and compare the features that models read from a store.", no_args_is_help=True
)

Data = Annotated[Path, typer.Argument(help="A .csv or .parquet file with the view's columns.", metavar="DATA")]
View = Annotated[str, typer.Option("--view", help="Name of the feature view.")]
Folder = Annotated[Path, typer.Option(help="The served folder, with features/*.yaml and lockgate.yaml.")]
Url = Annotated[
    str | None,
    typer.Option(help="The store, instead of the configured one, REDIS_URL or that of a running lockgate serve."),
]
StateDir = Annotated[Path, typer.Option(help="State directory of a running lockgate serve with a store of its own.")]
EventTime = Annotated[
    str | None,
    typer.Option(help="Column that says when a row was true \\[default: event_time or event_timestamp, else now]."),
]
Utc = Annotated[bool, typer.Option("--utc", help="Take times without a zone for UTC.")]

_HERE, _STATE = Path(), Path(".lockgate")


@features_app.command()
def load(
    data: Data,
    *,
    view: View,
    folder: Folder = _HERE,
    url: Url = None,
    state_dir: StateDir = _STATE,
    event_time: EventTime = None,
    utc: Utc = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row and write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write older rows over newer ones too.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew after an interruption.")] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where to note how far it came \\[default: beside the data].")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="CSV file for the rows that cannot be loaded.")] = None,
) -> None:
    """Load a file into the store. After an interruption the same command goes on where it stopped."""
    from gateway.commands.features_load import LoadOptions, load_features
    from gateway.commands.features_target import FeatureTarget

    options = LoadOptions(
        data=data,
        target=FeatureTarget.find(folder, view, url, state_dir),
        event_time=event_time,
        assume_utc=utc,
        is_dry=dry_run,
        overwrite=overwrite,
        restart=restart,
        checkpoint=checkpoint,
        rejects=rejects,
    )
    raise typer.Exit(load_features(options, _console()))


@features_app.command()
def get(
    view: Annotated[str, typer.Argument(help="Name of the feature view.", metavar="VIEW")],
    keys: Annotated[
        list[str], typer.Argument(help="Entities; the values of one are separated by commas.", metavar="KEY...")
    ],
    *,
    folder: Folder = _HERE,
    url: Url = None,
    state_dir: StateDir = _STATE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the store has for some entities: values, their age and where each comes from."""
    from gateway.commands.features_get import get_features
    from gateway.commands.features_target import FeatureTarget

    target = FeatureTarget.find(folder, view, url, state_dir)
    raise typer.Exit(get_features(target, keys, _console(), as_json=json))


@features_app.command()
def diff(
    data: Data,
    *,
    view: View,
    folder: Folder = _HERE,
    url: Url = None,
    state_dir: StateDir = _STATE,
    event_time: EventTime = None,
    utc: Utc = False,
) -> None:
    """Compare what the store would serve with a file, such as the one that a model was trained with."""
    from gateway.commands.features_diff import DiffOptions, diff_features
    from gateway.commands.features_target import FeatureTarget

    options = DiffOptions(
        data=data, target=FeatureTarget.find(folder, view, url, state_dir), event_time=event_time, assume_utc=utc
    )
    raise typer.Exit(diff_features(options, _console()))


def _console() -> Console:
    """Of this terminal; where there is none, wide enough that tables are not broken up."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)
