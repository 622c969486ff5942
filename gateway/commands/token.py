"""
``lockgate token``: a token for one endpoint from the command line of the state directory's owner, and its signing keys.

The token is printed as JSON in Azure ML's words, on standard output alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from gateway.auth.bootstrap import StateFiles
from gateway.auth.token import issue_token
from gateway.auth.token_keys import rotate_token_key, signing_key
from gateway.commands.keys import operator
from gateway.control.endpoints import NAME
from gateway.core.errors import ConfigError

__all__ = ["print_token", "rotate"]


def print_token(
    endpoint: str,
    state_dir: Path,
    lifetime: int,
    subject: str | None,
    *,
    is_plain: bool = False,
    clock: Callable[[], float] = time.time,
) -> None:
    """Issue and print, as JSON or the token alone. Raises ``ConfigError``."""
    if not NAME.fullmatch(endpoint):
        raise ConfigError("ENDPOINT", "expected the name of an endpoint")
    files = _files(state_dir)
    now = clock()
    key = signing_key(files.token_keys, now)
    issued = issue_token(key, endpoint, subject or operator(), now=now, lifetime=lifetime)
    sys.stderr.write(f"lockgate: token for {endpoint} issued by {operator()}, signed with key {key.kid}\n")
    sys.stdout.write((issued.accessToken if is_plain else json.dumps(asdict(issued), indent=2)) + "\n")


def rotate(state_dir: Path, *, keep_old: bool, clock: Callable[[], float] = time.time) -> None:
    """A new key signs from now on. Raises ``ConfigError``."""
    kid = rotate_token_key(_files(state_dir).token_keys, clock(), keep_old=keep_old)
    what = "tokens of before stay valid until they expire" if keep_old else "no token of before is valid any more"
    sys.stderr.write(f"lockgate: key {kid} signs tokens from now on, by {operator()}; {what}\n")


def _files(state_dir: Path) -> StateFiles:
    files = StateFiles(state_dir.resolve())
    if not files.keys.exists():
        raise ConfigError(str(state_dir), "expected a state directory; the first start of lockgate serve makes one")
    return files
