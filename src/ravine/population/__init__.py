"""Many trainings as one program, each in a slot of a block of fixed size."""

import os

from ravine.population._members import CurvePoint, Member, Outcome, Progress
from ravine.population._population import Population
from ravine.population._workers import WorkerError

# Without it MKL chooses by the address of a matrix how to multiply it, and a member whose widths
# are no multiples of 4 would end with other last digits in another slot. MKL reads it at its first
# product, so it comes too late for a program that has multiplied with torch before.
os.environ.setdefault("MKL_CBWR", "AUTO")

__all__ = ["CurvePoint", "Member", "Outcome", "Population", "Progress", "WorkerError"]
