"""Many trainings as one program, each in a slot of a block of fixed size."""

from ravine.core.reproducible import fix_products
from ravine.population._members import CurvePoint, Member, Outcome, Progress
from ravine.population._population import Population
from ravine.population._workers import WorkerError

fix_products()

__all__ = ["CurvePoint", "Member", "Outcome", "Population", "Progress", "WorkerError"]
