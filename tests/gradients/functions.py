"""The functions of `tests.reference.functions` in torch, from their definitions."""

from math import pi

import torch


def _zakharov(x):
    s = (_numbers(x) * x).sum() / 2
    return (x**2).sum() + s**2 + s**4


def _numbers(x):
    return torch.arange(1.0, len(x) + 1, dtype=torch.float64)


TORCH = {
    "rosenbrock": lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(),
    "beale": lambda p: sum(
        (c - p[0] * (1 - p[1] ** k)) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))
    ),
    "himmelblau": lambda p: (p[0] ** 2 + p[1] - 11) ** 2 + (p[0] + p[1] ** 2 - 7) ** 2,
    "booth": lambda p: (p[0] + 2 * p[1] - 7) ** 2 + (2 * p[0] + p[1] - 5) ** 2,
    "powell": lambda x: (
        (x[0] + 10 * x[1]) ** 2
        + 5 * (x[2] - x[3]) ** 2
        + (x[1] - 2 * x[2]) ** 4
        + 10 * (x[0] - x[3]) ** 4
    ),
    "cube": lambda p: 100 * (p[1] - p[0] ** 3) ** 2 + (1 - p[0]) ** 2,
    "leon": lambda p: (p[1] - p[0] ** 3) ** 2 + (1 - p[0]) ** 2,
    "dixon-price": lambda x: (
        (x[0] - 1) ** 2 + (_numbers(x)[1:] * (2 * x[1:] ** 2 - x[:-1]) ** 2).sum()
    ),
    "freudenstein-roth": lambda p: (
        (p[0] - 13 + ((5 - p[1]) * p[1] - 2) * p[1]) ** 2
        + (p[0] - 29 + ((p[1] + 1) * p[1] - 14) * p[1]) ** 2
    ),
    "brown": lambda p: (p[0] - 1e2) ** 2 + (p[1] - 2e-2) ** 2 + (p[0] * p[1] - 2) ** 2,
    "matyas": lambda p: 0.26 * (p[0] ** 2 + p[1] ** 2) - 0.48 * p[0] * p[1],
    "trid": lambda x: ((x - 1) ** 2).sum() - (x[1:] * x[:-1]).sum() - len(x),
    "zakharov": _zakharov,
    "exponential": lambda x: -torch.exp(-(x**2).sum() / 2),
    "chung-reynolds": lambda x: (x**2).sum() ** 2,
    "six-hump camel": lambda p: (
        (4 - 2.1 * p[0] ** 2 + p[0] ** 4 / 3) * p[0] ** 2
        + p[0] * p[1]
        + (4 * p[1] ** 2 - 4) * p[1] ** 2
    ),
    "three-hump camel": lambda p: (
        2 * p[0] ** 2 - 1.05 * p[0] ** 4 + p[0] ** 6 / 6 + p[0] * p[1] + p[1] ** 2
    ),
    "mccormick": lambda p: (
        torch.sin(p[0] + p[1]) + (p[0] - p[1]) ** 2 - 1.5 * p[0] + 2.5 * p[1] + 1
    ),
    "branin": lambda p: (
        (p[1] - 5.1 / (4 * pi**2) * p[0] ** 2 + 5 / pi * p[0] - 6) ** 2
        + 10 * (1 - 1 / (8 * pi)) * torch.cos(p[0])
        + 10
    ),
    "easom": lambda p: (
        -torch.cos(p[0]) * torch.cos(p[1]) * torch.exp(-((p[0] - pi) ** 2) - (p[1] - pi) ** 2)
    ),
    "sum squares": lambda x: (_numbers(x) * x**2).sum(),
    "styblinski-tang": lambda x: (x**4 - 16 * x**2 + 5 * x).sum() / 2,
    "rastrigin": lambda x: (10 + x**2 - 10 * torch.cos(2 * pi * x)).sum(),
    "qing": lambda x: ((x**2 - _numbers(x)) ** 2).sum(),
}
