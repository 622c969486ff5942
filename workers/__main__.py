"""``python -m workers --options JSON``: the group process of one deployment; see ``workers.zygote``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import msgspec

from workers.options import GroupOptions
from workers.threads import limit_threads

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options and run the group; returns the exit code (2: the options cannot be read)."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run the workers of one deployment.")
    parser.add_argument("--options", required=True, help="a GroupOptions object as JSON")
    arguments = parser.parse_args(argv)
    try:
        group = msgspec.json.decode(arguments.options, type=GroupOptions)
    except msgspec.DecodeError as error:
        parser.error(f"--options: {error}")
    log_to_stderr()
    limit_threads(os.environ, group.threads)  # before anything imports numpy
    from workers.zygote import run_group

    return run_group(group)


def log_to_stderr() -> None:
    """JSON lines on stderr: stdout belongs to the events for the parent process."""
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    # structlog takes rich along where it is installed, for terminals, which a worker does not have: a fifth of the time
    # in which one of ONNX starts.
    sys.modules["rich"] = None  # type: ignore[assignment]
    sys.exit(main())
