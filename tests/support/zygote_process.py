"""
A group whose workers are a few lines of Python, to test forking without a model.

``python -m tests.support.zygote_process FOLDER DRAIN RELOAD_WAIT NAME…``: each worker says that it is ready and then
does what its name says; see ``_work``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from workers.events import claim_stdout, emit
from workers.options import WorkerOptions
from workers.zygote import Group

__all__: list[str] = []


def _work(options: WorkerOptions) -> int:
    emit("ready", worker=options.name, pid=os.getpid(), tmpdir=os.environ["TMPDIR"])
    match options.name:
        case "polite":
            signal.sigwait({signal.SIGTERM})
            emit("drained", worker=options.name)
            return 0
        case "stubborn":
            while True:
                signal.sigwait({signal.SIGTERM})
        case "crashing":
            raise RuntimeError("a bug")
        case name if name.startswith("exits-"):
            return int(name.removeprefix("exits-"))
    raise ValueError(options.name)


def _main() -> int:
    folder, drain, reload_wait, *names = sys.argv[1:]
    claim_stdout()
    if names[0] == "threaded":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    workers = [WorkerOptions(name=name, address="") for name in names]
    return Group(workers, _work, drain=float(drain), folder=Path(folder), reload_wait=float(reload_wait)).run()


if __name__ == "__main__":
    sys.exit(_main())
