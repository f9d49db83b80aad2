"""The command line: `ravine compare` and `ravine report`."""

from ravine.cli._app import main

__all__ = ["main"]
