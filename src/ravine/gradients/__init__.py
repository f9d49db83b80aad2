"""Numeric gradients, the gradient check, and curvature. Nothing here trains."""

from ravine.gradients._check import check
from ravine.gradients._convexity import ConvexityProbe, Segment, convexity_probe
from ravine.gradients._curvature import Curvature, curvature
from ravine.gradients._curvature_higher import directional_derivative
from ravine.gradients._curvature_objective import Objective, objective, objective_of
from ravine.gradients._curvature_rates import (
    CurvatureReport,
    SharpnessTrace,
    curvature_report,
    sharpness,
    stable_rate,
)
from ravine.gradients._expression_check import Derivative, ExpressionCheck, check_expression
from ravine.gradients._graph import Graph, expression_graph, model_graph
from ravine.gradients._listening import Listener
from ravine.gradients._numeric import NumericGradient, numeric_gradient
from ravine.gradients._report import Checked, Entry, Finding, Report
from ravine.gradients._spectrum import (
    Estimate,
    SpectralDensity,
    spectral_density,
    top_eigenvalues,
    trace,
)
from ravine.gradients._taylor import TaylorCheck, taylor_check

__all__ = [
    "Checked",
    "ConvexityProbe",
    "Curvature",
    "CurvatureReport",
    "Derivative",
    "Entry",
    "Estimate",
    "ExpressionCheck",
    "Finding",
    "Graph",
    "Listener",
    "NumericGradient",
    "Objective",
    "Report",
    "Segment",
    "SharpnessTrace",
    "SpectralDensity",
    "TaylorCheck",
    "check",
    "check_expression",
    "convexity_probe",
    "curvature",
    "curvature_report",
    "directional_derivative",
    "expression_graph",
    "model_graph",
    "numeric_gradient",
    "objective",
    "objective_of",
    "sharpness",
    "spectral_density",
    "stable_rate",
    "taylor_check",
    "top_eigenvalues",
    "trace",
]
