"""
Everything that can go wrong with features, each named once.

The texts name view, entity and feature, and never hold a value of a feature or a credential: they may be shown to
whoever asked.
"""

from __future__ import annotations

__all__ = [
    "BadEntity",
    "BadValue",
    "CorruptValue",
    "FeatureError",
    "MissingFeature",
    "NotHeld",
    "StaleFeature",
    "StoreRefused",
    "Unavailable",
]


class FeatureError(Exception):
    """Base of every error that this library raises on purpose."""


class BadEntity(FeatureError):
    """The entity values asked for do not fit the view's keys: their number, a type or a range."""


class BadValue(FeatureError):
    """A value to be written does not fit its feature's type."""


class CorruptValue(FeatureError):
    """What is stored under a key is not a row of the view; it is refused, never guessed at."""


class NotHeld(FeatureError):
    """A feature whose policy is ``fail`` cannot be used. Base of the two reasons."""


class MissingFeature(NotHeld):
    """The store has no value for it, or could not be asked."""


class StaleFeature(NotHeld):
    """The value is older than the view allows."""


class Unavailable(FeatureError):
    """The store did not answer in time, or is known not to at the moment."""


class StoreRefused(FeatureError):
    """The store answered with an error: no permission, a wrong type under a key, a setting it does not know."""
