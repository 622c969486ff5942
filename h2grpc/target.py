"""Where a channel connects to, as gRPC writes it: ``unix:/path``, ``host:port``, ``[::1]:port``, ``dns:///host:port``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """Either a Unix socket's path, or a host and a port."""

    path: str | None
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Target:
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            path = path.removeprefix("//") if path.startswith("///") else path
            if not path:
                raise ValueError(f"the target {text!r} names no socket")
            return cls(path, "", 0)
        rest = text
        for scheme in ("dns:///", "dns:", "ipv4:", "ipv6:"):
            rest = rest.removeprefix(scheme)
        host, colon, port = rest.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
            raise ValueError(f"the target {text!r} is neither host:port nor unix:path")
        return cls(None, host, int(port))

    @property
    def authority(self) -> str:
        """The default ``:authority``; that of a Unix socket is localhost, as grpcio's."""
        if self.path is not None:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
