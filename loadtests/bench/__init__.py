"""Lockgate beside bare servers and plumber, measured in one run: ``python -m loadtests.bench``."""
