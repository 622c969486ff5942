"""What a protobuf file says that matters on the wire; needs nothing of this project, so that any program can run it."""

from __future__ import annotations

from typing import Any

__all__ = ["facts"]


def facts(*files: Any) -> dict[str, dict[str, Any]]:
    """Full name of each message, service and enum → its members by name."""
    found: dict[str, dict[str, Any]] = {}

    def walk(message: Any) -> None:
        found[message.full_name] = {f.name: [f.number, f.type, f.is_repeated] for f in message.fields}
        for nested in message.nested_types:
            walk(nested)

    for file in files:
        for message in file.message_types_by_name.values():
            walk(message)
        for service in file.services_by_name.values():
            found[service.full_name] = {
                m.name: [m.input_type.full_name, m.output_type.full_name, m.client_streaming, m.server_streaming]
                for m in service.methods
            }
        for enum in file.enum_types_by_name.values():
            found[enum.full_name] = {value.name: value.number for value in enum.values}
    return found
