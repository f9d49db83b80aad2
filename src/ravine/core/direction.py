"""Which way a score is good."""

from typing import Literal

Direction = Literal["max", "min"]
