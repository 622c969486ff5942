"""Lockgate beside bare servers, plumber and Triton, measured in one run: ``python -m loadtests.bench``."""
