"""
The desired state of everything that is served: one immutable, versioned document.

It is sent whole: what a document does not name is not served any more. Endpoints and views stand in it as they are
written in files, with absolute paths, so that a document can be compared, kept and written back without knowing what
any key means. Whoever runs it turns it into a checked configuration first; a document alone promises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

__all__ = ["Document", "Entry", "content_digest"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history: which version, when, by whom, and what was done."""

    version: int
    """1 and up; 0 stands for a state that nobody has written yet."""
    at: float
    """Unix seconds."""
    by: str
    """The name of a principal, or ``files`` where the files were edited."""
    what: str
    """Such as ``traffic of diamond-price`` or ``rollback to version 3``."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable: a change makes another one."""

    entry: Entry
    endpoints: Mapping[str, Mapping[str, Any]]
    """Name → what ``endpoints/<name>.yaml`` says."""
    views: Mapping[str, Mapping[str, Any]] = {}
    """Name → what ``features/<view>.yaml`` says."""
    models: Mapping[str, str] = {}
    """Path of a model → digest of its files when the document was made. A model whose files differ is another model."""

    @property
    def version(self) -> int:
        return self.entry.version


def content_digest(document: Document) -> str:
    """The same for two documents that say the same, whenever and by whomever they were made."""
    content = {"endpoints": document.endpoints, "views": document.views, "models": document.models}
    return sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
