"""Slow, plain, independent oracles: they import nothing from Ravine."""
