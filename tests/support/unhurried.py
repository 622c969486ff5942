"""Settings for properties that say nothing about time: a busy machine must not fail them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

__all__ = ["unhurried"]

unhurried = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
