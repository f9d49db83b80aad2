"""Ravine: which optimizer, at which settings, and what is the evidence?"""

__version__ = "0.1.0"
