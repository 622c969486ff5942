"""gRPC on a sans-IO HTTP/2 engine."""
