"""The checks that Ravine's own rules and models pass, for yours."""

from ravine.testing._contract import check_rule
from ravine.testing._gradients import assert_gradients

__all__ = ["assert_gradients", "check_rule"]
