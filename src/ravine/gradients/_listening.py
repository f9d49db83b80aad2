"""What long work on gradients tells whoever watches it."""

from typing import Protocol


class Listener(Protocol):
    """Whoever watches a numeric gradient or a check."""

    def progressed(self, what: str, done: int, total: int) -> None:
        """Take note of progress: so many of `total` entries of `what` are done."""

    def noticed(self, text: str) -> None:
        """Take note of something unusual, such as a function that cannot be batched."""


class Silent:
    """A listener that does nothing."""

    def progressed(self, what: str, done: int, total: int) -> None:
        """Do nothing."""

    def noticed(self, text: str) -> None:
        """Do nothing."""
