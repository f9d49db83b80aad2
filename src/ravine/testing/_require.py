"""One way to fail."""

from ravine.rules import Rule


def require(holds: object, rule: Rule, text: str) -> None:
    """Raise AssertionError with the rule's name unless the condition holds."""
    if not holds:
        raise AssertionError(f"{rule.name}: {text}")
