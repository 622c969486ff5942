"""
R inside this process: found, checked, started once, and spoken to while a model loads.

rpy2 is used for what is rare (start, evaluation of source, loading); requests go through ``r_api``. It is imported
here, when R is needed, and nowhere else.
"""

from __future__ import annotations

import os
import subprocess
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workers.runtimes.base import LoadError
from workers.runtimes.r_api import RApi

__all__ = ["EmbeddedR", "check_versions", "find_r"]

_OPTIONS = ("rpy2", "--quiet", "--no-save", "--no-restore", "--no-site-file", "--no-init-file", "--no-environ")
_SOURCES = ("r_guard.R", "r_columns.R", "r_predict.R", "r_script.R")


class EmbeddedR:
    """The one R of this process. Make it on the main thread, before any other thread exists."""

    def __init__(self, min_vsize_mb: int) -> None:
        home, self.version = find_r()
        check_versions(self.version, _rpy2_version())
        os.environ.update(R_HOME=str(home), RPY2_CFFI_MODE="ABI")
        try:
            situation: Any = import_module("rpy2.situation")
            # rpy2 would start another R, a fifth of a second, to ask it for a path that nothing uses.
            situation.r_ld_library_path_from_subprocess = lambda _home: os.environ.get("LD_LIBRARY_PATH", "")
            ri: Any = import_module("rpy2.rinterface")
            callbacks: Any = import_module("rpy2.rinterface_lib.callbacks")
        except (ImportError, ValueError, OSError) as error:
            raise LoadError(f"R {self.version} was found, but rpy2 cannot open it: {error}") from error
        ri.embedded.set_initoptions((*_OPTIONS, f"--min-vsize={min_vsize_mb}M"))
        # The stack limit that R finds out by itself; rpy2 would switch the check off, and recursion would be a crash.
        ri.initr(interactive=False, _c_stack_limit=0)
        callbacks.consoleread = _no_console
        callbacks.yesnocancel = _no_console
        callbacks.cleanup = _leave
        callbacks.consolewrite_print = _to_stderr
        callbacks.consolewrite_warnerror = _to_stderr
        self._ri = ri
        self._kept: list[Any] = []
        self.api = RApi(str(home / "lib" / "libR.so"))
        self.namespace = self.evaluate("new.env(parent = globalenv())")
        for source in _SOURCES:
            self.call("sys.source", str(Path(__file__).with_name(source)), self.namespace)

    def evaluate(self, source: str, environment: Any = None) -> Any:
        """The value of R source, as rpy2 has it. Raises ``LoadError`` with R's message."""
        ri = self._ri
        try:
            return ri.baseenv["eval"](ri.parse(source), environment or ri.globalenv)
        except ri.embedded.RRuntimeError as error:
            raise LoadError(_message(error)) from error

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of base, or of our own sources where there is one. Raises ``LoadError``."""
        ri = self._ri
        found = self._own(function) or ri.baseenv[function]
        converted = [ri.StrSexpVector([a]) if isinstance(a, str) else a for a in arguments]
        try:
            return found(*converted)
        except ri.embedded.RRuntimeError as error:
            raise LoadError(_message(error)) from error

    def preserved(self, source: str) -> int:
        """The address of the value of R source, kept for ever."""
        return self.keep(self.evaluate(source))

    def keep(self, value: Any) -> int:
        """The address of an rpy2 object, kept for ever."""
        self._kept.append(value)
        return int(self._ri.openrlib.ffi.cast("uintptr_t", value.__sexp__._cdata))

    def to_python(self, value: Any) -> Any:
        """Vectors as lists, named lists as dicts, NULL as None; functions and the like as they are."""
        ri = self._ri
        if isinstance(value, type(ri.NULL)):
            return None
        if isinstance(value, ri.ListSexpVector):
            names = value.names
            if isinstance(names, type(ri.NULL)):
                return [self.to_python(item) for item in value]
            return {str(name): self.to_python(item) for name, item in zip(names, value, strict=True)}
        if isinstance(value, ri.StrSexpVector | ri.BoolSexpVector | ri.IntSexpVector | ri.FloatSexpVector):
            return list(value)
        return value

    def use_tempdir(self, folder: str) -> None:
        """Give this process a tempdir() of its own within ``folder``: after a fork R still has its parent's."""
        os.environ["TMPDIR"] = folder
        self.api.temp_dir.value = f"{folder}/gone".encode()  # tempdir(check) makes a new one where the old has gone
        self.evaluate("tempdir(check = TRUE)")

    def seed(self, seed: int) -> None:
        self.evaluate(f"set.seed({seed}L)")

    def _own(self, name: str) -> Any:
        namespace = getattr(self, "namespace", None)
        if namespace is None:
            return None
        try:
            return namespace[name]
        except KeyError:
            return None


def find_r() -> tuple[Path, str]:
    """R's home and version. Raises ``LoadError``."""
    home = os.environ.get("R_HOME")
    if not home:
        try:
            done = subprocess.run(["R", "RHOME"], capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise LoadError(
                "this model needs R, and there is no R on PATH (Debian: apt install r-base-core)"
            ) from error
        home = done.stdout.strip()
    description = Path(home) / "library" / "base" / "DESCRIPTION"
    try:
        lines = description.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise LoadError(f"R_HOME is {home}, but {description} cannot be read: {error}") from error
    found = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("Version:")), "")
    if not (Path(home) / "lib" / "libR.so").is_file():
        raise LoadError(f"R {found} in {home} was built without the shared library libR.so, which embedding needs")
    return Path(home), found


def check_versions(r: str, rpy2: str) -> None:
    """rpy2-rinterface 3.6.6 and later need R 4.5, which pip cannot know. Raises ``LoadError``."""
    if _numbers(rpy2) >= (3, 6, 6) and _numbers(r) < (4, 5):
        raise LoadError(
            f"rpy2-rinterface {rpy2} needs R 4.5 or later and R is {r}: install rpy2-rinterface>=3.6.2,<3.6.6"
        )
    if _numbers(rpy2) < (3, 6, 2):
        raise LoadError(f"rpy2-rinterface {rpy2} is too old: install rpy2-rinterface>=3.6.2,<3.6.6")


def _rpy2_version() -> str:
    try:
        return version("rpy2-rinterface")
    except PackageNotFoundError as error:
        raise LoadError("this model needs the extra r: pip install 'lockgate[r]'") from error


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def _message(error: BaseException) -> str:
    text = str(error).strip()
    return text.split(" : ", 1)[-1].strip() if text.startswith("Error in ") else text.removeprefix("Error: ")


def _to_stderr(text: str) -> None:
    os.write(2, text.encode("utf-8", "replace"))


def _no_console(_prompt: str) -> Any:
    raise EOFError("a model cannot read from a console")


def _leave(_save: object, status: int, _run_last: object) -> None:
    """
    ``quit()`` in a model ends this process only, without running the exit handlers of a forked child. With a status of
    its own it could say in our name that this process is to come back at once, or never (``workers.lifecycle``).
    """
    _to_stderr(f"the model called quit(), status {status}\n")
    os._exit(1)
