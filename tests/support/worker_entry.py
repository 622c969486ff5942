"""``python -m tests.support.worker_entry JSON onnx|scripted``: the first worker of a group, without its parent."""

from __future__ import annotations

import os
import sys

import msgspec

from workers.__main__ import log_to_stderr
from workers.options import GroupOptions
from workers.threads import limit_threads

if __name__ == "__main__":
    group = msgspec.json.decode(sys.argv[1], type=GroupOptions)
    limit_threads(os.environ, group.threads)
    log_to_stderr()
    from tests.support.scripted_runtime import ScriptedRuntime
    from workers.loader import open_runtime
    from workers.process import run_worker

    runtime = ScriptedRuntime(group) if sys.argv[2] == "scripted" else open_runtime(group)
    os._exit(run_worker(group.workers[0], group, runtime, None, parent=os.getppid()))
