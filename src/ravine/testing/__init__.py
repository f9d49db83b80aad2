"""The checks that Ravine's own rules pass, for yours."""

from ravine.testing._contract import check_rule

__all__ = ["check_rule"]
