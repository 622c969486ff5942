"""Names that dashboards and alerts are built on: changing one breaks somebody, so they stand together."""

from __future__ import annotations

__all__ = [
    "AGREEING_ROWS",
    "BATCH_ROWS",
    "CERTIFICATE_ENDS",
    "COMPARED_ROWS",
    "COMPUTE_SECONDS",
    "DISAGREEING_VALUES",
    "ERRORS",
    "FEATURE_CIRCUIT_OPENED",
    "FEATURE_CONNECTION_FAILURES",
    "FEATURE_EVICTIONS",
    "FEATURE_FLUSHES",
    "FEATURE_INVALIDATIONS",
    "FEATURE_LOCAL_BYTES",
    "FEATURE_LOCAL_ROWS",
    "FEATURE_ROUND_TRIPS",
    "FEATURE_ROWS",
    "FEATURE_STALE",
    "FEATURE_STORE_UP",
    "FEATURE_TIMEOUTS",
    "GATEWAY_LABEL",
    "IN_FLIGHT",
    "MIRRORED",
    "MIRROR_DROPPED",
    "MIRROR_FAILED",
    "PROCESS_RESTARTS",
    "PROCESS_UP",
    "QUEUE_SECONDS",
    "REFUSED",
    "REQUESTS",
    "REQUEST_FAILED",
    "REQUEST_SECONDS",
    "ROWS",
    "STAGE_SECONDS",
    "WORKER_RESTARTS",
]

# Metrics. Counters get their "_total" when they are written out.
REQUESTS = "lockgate_requests"
REQUEST_SECONDS = "lockgate_request_duration_seconds"
STAGE_SECONDS = "lockgate_stage_seconds"
ERRORS = "lockgate_request_errors"
REFUSED = "lockgate_refused"
IN_FLIGHT = "lockgate_requests_in_flight"
ROWS = "lockgate_rows"
BATCH_ROWS = "lockgate_batch_rows"
QUEUE_SECONDS = "lockgate_queue_seconds"
COMPUTE_SECONDS = "lockgate_compute_seconds"
CERTIFICATE_ENDS = "lockgate_certificate_not_after_seconds"
FEATURE_CIRCUIT_OPENED = "lockgate_feature_circuit_opened"
FEATURE_CONNECTION_FAILURES = "lockgate_feature_connection_failures"
FEATURE_EVICTIONS = "lockgate_feature_evictions"
FEATURE_FLUSHES = "lockgate_feature_flushes"
FEATURE_INVALIDATIONS = "lockgate_feature_invalidations"
FEATURE_LOCAL_BYTES = "lockgate_feature_local_bytes"
FEATURE_LOCAL_ROWS = "lockgate_feature_local_rows"
FEATURE_ROUND_TRIPS = "lockgate_feature_round_trips"
FEATURE_ROWS = "lockgate_feature_rows"
FEATURE_STALE = "lockgate_feature_stale"
FEATURE_STORE_UP = "lockgate_feature_store_up"
FEATURE_TIMEOUTS = "lockgate_feature_timeouts"
MIRRORED = "lockgate_mirror_requests"
MIRROR_DROPPED = "lockgate_mirror_dropped"
MIRROR_FAILED = "lockgate_mirror_failed"
COMPARED_ROWS = "lockgate_compared_rows"
AGREEING_ROWS = "lockgate_agreeing_rows"
DISAGREEING_VALUES = "lockgate_disagreeing_values"
PROCESS_UP = "lockgate_process_up"
PROCESS_RESTARTS = "lockgate_process_restarts"
WORKER_RESTARTS = "lockgate_worker_restarts"

GATEWAY_LABEL = "gateway"
"""Tells the gateway processes of one machine apart."""

# Log events.
REQUEST_FAILED = "request.failed"
