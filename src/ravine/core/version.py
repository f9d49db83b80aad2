"""Ravine's version; generated code and stored results are marked with it."""

__version__ = "0.1.0"
