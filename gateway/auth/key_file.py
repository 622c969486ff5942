"""
Where keys are kept: ``keys.json`` in the state directory, which we write, and a mounted secret, which we only read.

A mounted secret is a folder of one file per key, as Kubernetes mounts it, or one JSON object. Names of files (or of the
object's members) are names of keys; ``<endpoint>.primary`` and ``<endpoint>.secondary`` are that endpoint's own. A
value is the key itself, ``sha256:`` and its digest, or a JSON object with one of the two and what the key may do.
Errors name the file and the key's name, never what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.auth.api_key import LATEST, PREFIX, ApiKey, digest, slot_of
from gateway.auth.sealed_file import Stamp, locked, stamp, write_sealed
from gateway.core.access import Role
from gateway.core.errors import ConfigError

__all__ = ["change_keys", "mount_stamp", "read_keys", "read_mounted", "write_keys"]

_LARGEST = 1024 * 1024
_SHORTEST = 32
"""Characters of a key that we did not make: 32 of base64 are 192 bits, if they are random."""
_SHOWN = 20
"""Digits of a number that an error repeats."""
_DIGEST = "sha256:"
_TOLD = re.compile(r"`[^`]*`|'[^']*'|\"[^\"]*\"")


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keys: list[ApiKey]


class _Mounted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str | None = None
    sha256: str | None = None
    roles: tuple[Role, ...] = (Role.SCORE,)
    endpoints: list[str] | None = None
    expires: int | None = None


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file of ours. Raises ``ConfigError``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_KeyFile).keys
    except FileNotFoundError as error:
        raise ConfigError(str(path), "expected a key file; the first start of lockgate serve makes one") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(str(path), f"expected a key file: {_without_values(error)}") from error


def write_keys(path: Path, keys: Sequence[ApiKey]) -> None:
    """Write the key file, readable by its owner only."""
    write_sealed(path, msgspec.json.format(msgspec.json.encode(_KeyFile(keys=list(keys))), indent=2) + b"\n")


@contextmanager
def change_keys(path: Path) -> Iterator[list[ApiKey]]:
    """A block in which nobody else changes the file; what the list holds at its end is written. See ``locked``."""
    with locked(path):
        keys = read_keys(path)
        yield keys
        write_keys(path, keys)


def read_mounted(path: Path) -> list[ApiKey]:
    """The keys of a mounted secret. Raises ``ConfigError``."""
    return [_mounted(path, name, value) for name, value in _mounted_values(path)]


def mount_stamp(path: Path) -> tuple[tuple[str, Stamp], ...]:
    """As ``stamp``, for a whole mounted secret: Kubernetes replaces the target of a symbolic link."""
    if not path.is_dir():
        return (("", stamp(path)),)
    return tuple((file.name, stamp(file)) for file in _files(path))


def _files(folder: Path) -> list[Path]:
    """Without Kubernetes' own ``..data`` and ``..2025_01_01``."""
    return sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())


def _mounted_values(path: Path) -> Iterator[tuple[str, str | _Mounted]]:
    try:
        if path.is_dir():
            for file in _files(path):
                text = _small(file).strip()
                yield file.name, msgspec.json.decode(text, type=_Mounted) if text.startswith("{") else text
        else:
            yield from msgspec.json.decode(_small(path), type=dict[str, str | _Mounted]).items()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {getattr(error, 'strerror', 'not text')}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(str(path), f"expected names with keys or digests: {_without_values(error)}") from error


def _small(file: Path) -> str:
    data = file.read_bytes()
    if len(data) > _LARGEST:
        raise ConfigError(str(file), "expected less than 1 MiB")
    return data.decode()


def _mounted(path: Path, name: str, value: str | _Mounted) -> ApiKey:
    where = f"{path}, {'a name' if name.startswith(PREFIX) else name[:80]}"
    if isinstance(value, str):
        is_digest = value.startswith(_DIGEST)
        value = _Mounted(sha256=value.removeprefix(_DIGEST)) if is_digest else _Mounted(key=value)
    if (value.key is None) == (value.sha256 is None):
        raise ConfigError(where, "expected either key or sha256")
    if value.key is not None and (len(value.key) < _SHORTEST or not re.fullmatch(r"[!-~]+", value.key)):
        raise ConfigError(where, f"expected a key of at least {_SHORTEST} printable characters")
    if value.expires is not None and not 0 <= value.expires <= LATEST:
        given = str(value.expires)[:_SHOWN]
        raise ConfigError(where, f"expires: expected Unix seconds, 0 to {LATEST}, got {given}")
    own = slot_of(name)
    try:
        return ApiKey(
            name=name,
            sha256=digest(value.key) if value.key is not None else (value.sha256 or "").lower(),
            endpoints=[own[0]] if own and value.endpoints is None else value.endpoints,
            roles=value.roles,
            expires=value.expires,
        )
    except ValueError as error:
        raise ConfigError(where, str(error)) from None


def _without_values(error: Exception) -> str:
    """A key that was put in the wrong place is not told to the log."""
    return _TOLD.sub(lambda told: "…" if PREFIX in told[0] or len(told[0]) > _SHORTEST else told[0], str(error))
