"""
The command ``lockgate``: options and their help texts; what a command does is in ``gateway.commands``.

An error that we expected (``ConfigError``: a setting, a file, a port) is one line on standard error and exit code 2,
as for wrong usage. Anything else that fails exits with 1. Imports are made by the command that needs them: ``--help``
and ``version`` answer at once.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.commands.certs_options import certs_app
from gateway.commands.compare_options import compare_command
from gateway.commands.control_options import add_control_commands
from gateway.commands.features_options import features_app
from gateway.commands.keys_options import keys_app, token
from gateway.core.bounds import DAY_MS, DAY_S
from gateway.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["app", "main"]

_USAGE = 2
_FILE_WIDTH = 160

app = typer.Typer(
    name="lockgate",
    help="A low-latency inference gateway for R and ONNX models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ServedPath = Annotated[
    Path,
    typer.Argument(
        help="A folder with endpoints/*.yaml, or a single model: a model folder, .rds or .onnx.", metavar="PATH"
    ),
]
StateDir = Annotated[Path, typer.Option(help="Certificates, keys and sockets of this server.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on, instead of the configured one.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="HTTPS port, instead of the configured one (8443).")]
GrpcPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="gRPC port, instead of the configured one (8444).")
]
AdminPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Port of probes, metrics and the admin API on loopback, instead of the configured one (8445).",
    ),
]

DEFAULT_STATE = Path(".lockgate")


def main() -> None:
    """The entry point of the command."""
    try:
        app()
    except ConfigError as error:
        sys.stderr.write(f"lockgate: {error}\n")
        sys.exit(_USAGE)


@app.command()
def serve(
    path: ServedPath,
    *,
    state_dir: StateDir = DEFAULT_STATE,
    host: Host = None,
    port: Port = None,
    grpc_port: GrpcPort = None,
    admin_port: AdminPort = None,
    gateways: Annotated[int | None, typer.Option(min=1, max=64, help="Gateway processes, one core each.")] = None,
) -> None:
    """
    Serve models over HTTPS and gRPC: plans the cores, starts gateways and workers, and keeps them running.

    The first start makes a certificate and an API key in the state directory. Ctrl-C drains and stops.
    """
    from gateway.commands.serve import ServeOptions, serve

    options = ServeOptions(
        path=path,
        state_dir=state_dir,
        host=host,
        port=port,
        grpc_port=grpc_port,
        admin_port=admin_port,
        gateways=gateways,
    )
    raise typer.Exit(serve(options, _console()))


@app.command()
def gateway(
    path: ServedPath,
    *,
    plan: Annotated[
        Path | None, typer.Option(help="JSON: endpoint, deployment, list of the workers' addresses.")
    ] = None,
    served: Annotated[
        Path | None, typer.Option(help="Instead of --plan: a file that a supervisor writes.", hidden=True)
    ] = None,
    state_dir: StateDir = DEFAULT_STATE,
    host: Host = None,
    port: Port = None,
    grpc_port: GrpcPort = None,
    admin_port: AdminPort = None,
    index: Annotated[int, typer.Option(min=0, help="Which of several gateways this is.")] = 0,
    admin_socket: Annotated[
        Path | None, typer.Option(help="Serve the admin API on this Unix socket instead of a port.")
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Address of the supervisor's admin API, to load and unload models.", hidden=True)
    ] = None,
) -> None:
    """Run one gateway process that scores on workers started elsewhere."""
    from gateway.commands.run_gateway import GatewayOptions, run_gateway
    from gateway.commands.serve_options import ServeOptions

    options = ServeOptions(
        path=path, state_dir=state_dir, host=host, port=port, grpc_port=grpc_port, admin_port=admin_port
    )
    code = run_gateway(
        GatewayOptions(serve=options, served=served, plan=plan, index=index, admin_socket=admin_socket, control=control)
    )
    raise typer.Exit(code)


@app.command()
def worker(
    model: Annotated[Path, typer.Argument(help="A model folder, .rds or .onnx.", metavar="MODEL")],
    *,
    address: Annotated[
        list[str], typer.Option(help="Where a worker listens, unix:/path or host:port; once per worker process.")
    ],
    name: Annotated[str, typer.Option(help="For logs.")] = "worker",
    max_rows: Annotated[int, typer.Option(min=1, help="The largest batch that a gateway will send.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N or tensorrt:N; ONNX only.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of one worker.")] = 1,
    min_vsize_mb: Annotated[int, typer.Option(min=0, help="Room before R collects garbage by itself.")] = 256,
    memory_limit_mb: Annotated[int, typer.Option(min=0, help="Memory at which a worker is replaced; 0: never.")] = 0,
    drain_ms: Annotated[
        int, typer.Option(min=0, max=DAY_MS, help="How long accepted batches may take after SIGTERM.")
    ] = 10_000,
    tls_ca: Annotated[Path | None, typer.Option(help="Who signs the certificates of gateways (PEM).")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="What is shown to gateways (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen on TCP beyond this machine without TLS.")
    ] = False,
) -> None:
    """Run the workers of one model, for gateways elsewhere. On TCP they take mutual TLS with a private CA."""
    from gateway.commands.worker import become_worker, link_files

    become_worker(
        model,
        address,
        name,
        {
            "max_rows": max_rows,
            "device": device,
            "threads": threads,
            "min_vsize_mb": min_vsize_mb,
            "memory_limit_mb": memory_limit_mb,
        },
        drain_ms,
        tls=link_files(tls_ca, tls_certificate, tls_key),
        is_insecure=insecure,
    )


@app.command()
def invoke(
    endpoint: Annotated[str, typer.Argument(help="Name of the endpoint.", metavar="ENDPOINT")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="The rows: a .json file in any form that is served, or .csv.")
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Send the model's own example instead.")] = False,
    deployment: Annotated[str | None, typer.Option(help="This deployment, whatever the traffic says.")] = None,
    protocol: Annotated[Literal["http", "grpc"], typer.Option(help="How to ask.")] = "http",
    host: Annotated[str, typer.Option(help="Host of the server.")] = "localhost",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Its port; 8443 for http, 8444 for grpc.")] = None,
    state_dir: StateDir = DEFAULT_STATE,
    key_file: Annotated[
        Path | None, typer.Option(help="File with the API key \\[default: STATE_DIR/demo.key].")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="CA to trust \\[default: STATE_DIR/ca.pem, else those of this machine].")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="A client certificate; without --key-file it is shown alone.")
    ] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    timeout: Annotated[float, typer.Option(min=0.001, max=DAY_S, help="Seconds to wait for the answer.")] = 30.0,
) -> None:
    """Score the rows of a file and print the answer as JSON; the time it took goes to standard error."""
    from gateway.commands.invoke import InvokeOptions, invoke

    if (certificate is None) != (certificate_key is None):
        raise ConfigError("--certificate", "expected --certificate and --certificate-key together, or neither")
    own_ca = state_dir / "ca.pem"
    options = InvokeOptions(
        endpoint=endpoint,
        data=data,
        is_example=example,
        deployment=deployment,
        protocol=protocol,
        host=host,
        port=port,
        key_file=key_file or (None if certificate else state_dir / "demo.key"),
        ca=ca or (own_ca if own_ca.exists() else None),
        timeout=timeout,
        client=(certificate, certificate_key) if certificate and certificate_key else None,
    )
    raise typer.Exit(invoke(options))


@app.command()
def check(
    path: ServedPath,
    *,
    timeout: Annotated[float, typer.Option(min=1, max=DAY_S, help="Seconds that one model may take to load.")] = 120.0,
) -> None:
    """Validate the configuration, load every model, score its example, and print what was found."""
    from gateway.commands.check import check

    raise typer.Exit(check(path, timeout, _console()))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"lockgate {installed_version('lockgate')}")


app.add_typer(certs_app)
app.add_typer(features_app)
app.add_typer(keys_app)
app.command()(token)
app.command("compare")(compare_command)
add_control_commands(app)


def _console() -> Console:
    """Of this terminal; where there is none, wide enough that tables are not broken up."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)
