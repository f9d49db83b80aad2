"""Test functions of optimization with value, gradient and Hessian in closed form; NumPy float64.

Most are sums of squares or sums over coordinates. `squares` and `separable` spell out the product
rule for those once: with residuals r, Jacobian J and second derivatives R_k of r_k,
f = sum r^2, grad = 2 J^T r, Hess = 2 (J^T J + sum_k r_k R_k).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Function:
    """A function with its derivatives, and points to compare them at."""

    value: Callable[[Array], float]
    gradient: Callable[[Array], Array]
    hessian: Callable[[Array], Array]
    points: tuple[tuple[float, ...], ...]


def squares(parts, points):
    """Return the sum of squares of residuals; parts(x) gives r [K], J [K, n], R [K, n, n]."""

    def hessian(x):
        r, j, curves = parts(x)
        return 2 * (j.T @ j + np.einsum("k,kij->ij", r, curves))

    return Function(
        lambda x: float((parts(x)[0] ** 2).sum()),
        lambda x: 2 * parts(x)[1].T @ parts(x)[0],
        hessian,
        points,
    )


def separable(value, first, second, points):
    """Return sum_i value(x_i, i), i from 1, from two derivatives by x_i."""

    def numbers(x):
        return np.arange(1, len(x) + 1.0)

    return Function(
        lambda x: float(value(x, numbers(x)).sum()),
        lambda x: first(x, numbers(x)),
        lambda x: np.diag(second(x, numbers(x))),
        points,
    )


def _rosenbrock(x):
    n = len(x)
    r = np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])
    j, curves = np.zeros((2 * n - 2, n)), np.zeros((2 * n - 2, n, n))
    for i in range(n - 1):
        j[i, i], j[i, i + 1], j[n - 1 + i, i] = -20 * x[i], 10, -1
        curves[i, i, i] = -20
    return r, j, curves


def _beale(p):
    x, y = p
    constants = (1.5, 2.25, 2.625)
    r, j, curves = np.zeros(3), np.zeros((3, 2)), np.zeros((3, 2, 2))
    for k, c in enumerate(constants, start=1):
        r[k - 1] = c - x + x * y**k
        j[k - 1] = y**k - 1, k * x * y ** (k - 1)
        curves[k - 1, 0, 1] = curves[k - 1, 1, 0] = k * y ** (k - 1)
        curves[k - 1, 1, 1] = 0 if k == 1 else k * (k - 1) * x * y ** (k - 2)
    return r, j, curves


def _himmelblau(p):
    x, y = p
    curves = np.zeros((2, 2, 2))
    curves[0, 0, 0] = curves[1, 1, 1] = 2
    return (
        np.array([x**2 + y - 11, x + y**2 - 7]),
        np.array([[2 * x, 1], [1, 2 * y]]),
        curves,
    )


def _booth(p):
    x, y = p
    j = np.array([[1.0, 2.0], [2.0, 1.0]])
    return np.array([x + 2 * y - 7, 2 * x + y - 5]), j, np.zeros((2, 2, 2))


def _power(x):  # Powell's singular function
    a, b, c, d = x
    r = np.array([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])
    j = np.array(
        [
            [1, 10, 0, 0],
            [0, 0, 5**0.5, -(5**0.5)],
            [0, 2 * (b - 2 * c), -4 * (b - 2 * c), 0],
            [2 * 10**0.5 * (a - d), 0, 0, -2 * 10**0.5 * (a - d)],
        ]
    )
    curves = np.zeros((4, 4, 4))
    curves[2, 1:3, 1:3] = [[2, -4], [-4, 8]]
    curves[3][np.ix_([0, 3], [0, 3])] = 2 * 10**0.5 * np.array([[1, -1], [-1, 1]])
    return r, j, curves


def _cubed(scale):
    """Cube (scale 10): a valley along y = x^3."""

    def parts(p):
        x, y = p
        curves = np.zeros((2, 2, 2))
        curves[0, 0, 0] = -6 * scale * x
        return (
            np.array([scale * (y - x**3), 1 - x]),
            np.array([[-3 * scale * x**2, scale], [-1, 0]]),
            curves,
        )

    return parts


def _dixon_price(x):
    n = len(x)
    r, j, curves = np.zeros(n), np.zeros((n, n)), np.zeros((n, n, n))
    r[0], j[0, 0] = x[0] - 1, 1
    for i in range(1, n):
        root = (i + 1) ** 0.5
        r[i] = root * (2 * x[i] ** 2 - x[i - 1])
        j[i, i], j[i, i - 1] = 4 * root * x[i], -root
        curves[i, i, i] = 4 * root
    return r, j, curves


def _freudenstein_roth(p):
    x, y = p
    curves = np.zeros((2, 2, 2))
    curves[0, 1, 1], curves[1, 1, 1] = 10 - 6 * y, 6 * y + 2
    return (
        np.array([x - 13 + ((5 - y) * y - 2) * y, x - 29 + ((y + 1) * y - 14) * y]),
        np.array([[1, 10 * y - 3 * y**2 - 2], [1, 3 * y**2 + 2 * y - 14]]),
        curves,
    )


def _brown_badly_scaled(p):
    x, y = p
    curves = np.zeros((3, 2, 2))
    curves[2, 0, 1] = curves[2, 1, 0] = 1
    return (
        np.array([x - 1e2, y - 2e-2, x * y - 2]),
        np.array([[1, 0], [0, 1], [y, x]], dtype=float),
        curves,
    )


def _quadratic(matrix, vector, points):
    """Return x^T A x / 2 - b^T x."""
    a, b = np.asarray(matrix, dtype=float), np.asarray(vector, dtype=float)
    return Function(
        lambda x: float(x @ a @ x / 2 - b @ x), lambda x: a @ x - b, lambda x: a, points
    )


def _zakharov():
    def parts(x):
        i = np.arange(1, len(x) + 1) / 2
        return i, float(i @ x)

    def gradient(x):
        i, s = parts(x)
        return 2 * x + (2 * s + 4 * s**3) * i

    def hessian(x):
        i, s = parts(x)
        return 2 * np.eye(len(x)) + (2 + 12 * s**2) * np.outer(i, i)

    def value(x):
        s = parts(x)[1]
        return float(x @ x + s**2 + s**4)

    return Function(value, gradient, hessian, _THREE)


def _exponential():
    def value(x):
        return -np.exp(-(x @ x) / 2)

    return Function(
        lambda x: float(value(x)),
        lambda x: -x * value(x),
        lambda x: value(x) * (np.outer(x, x) - np.eye(len(x))),
        _THREE,
    )


def _chung_reynolds():
    return Function(
        lambda x: float((x @ x) ** 2),
        lambda x: 4 * (x @ x) * x,
        lambda x: 4 * (x @ x) * np.eye(len(x)) + 8 * np.outer(x, x),
        _THREE,
    )


def _six_hump_camel():
    def gradient(p):
        x, y = p
        return np.array([8 * x - 8.4 * x**3 + 2 * x**5 + y, x - 8 * y + 16 * y**3])

    return Function(
        lambda p: float(
            (4 - 2.1 * p[0] ** 2 + p[0] ** 4 / 3) * p[0] ** 2
            + p[0] * p[1]
            + (4 * p[1] ** 2 - 4) * p[1] ** 2
        ),
        gradient,
        lambda p: np.array([[8 - 25.2 * p[0] ** 2 + 10 * p[0] ** 4, 1], [1, 48 * p[1] ** 2 - 8]]),
        _TWO,
    )


def _three_hump_camel():
    return Function(
        lambda p: float(2 * p[0] ** 2 - 1.05 * p[0] ** 4 + p[0] ** 6 / 6 + p[0] * p[1] + p[1] ** 2),
        lambda p: np.array([4 * p[0] - 4.2 * p[0] ** 3 + p[0] ** 5 + p[1], p[0] + 2 * p[1]]),
        lambda p: np.array([[4 - 12.6 * p[0] ** 2 + 5 * p[0] ** 4, 1], [1, 2]]),
        _TWO,
    )


def _mccormick():
    def gradient(p):
        x, y = p
        wave = np.cos(x + y)
        return np.array([wave + 2 * (x - y) - 1.5, wave - 2 * (x - y) + 2.5])

    def hessian(p):
        bend = -np.sin(p[0] + p[1])
        return np.array([[bend + 2, bend - 2], [bend - 2, bend + 2]])

    return Function(
        lambda p: float(np.sin(p[0] + p[1]) + (p[0] - p[1]) ** 2 - 1.5 * p[0] + 2.5 * p[1] + 1),
        gradient,
        hessian,
        _TWO,
    )


def _branin():
    b, c, r, s, t = 5.1 / (4 * np.pi**2), 5 / np.pi, 6.0, 10.0, 1 / (8 * np.pi)

    def inner(p):
        x, y = p
        return y - b * x**2 + c * x - r, -2 * b * x + c

    def gradient(p):
        u, slope = inner(p)
        return np.array([2 * u * slope - s * (1 - t) * np.sin(p[0]), 2 * u])

    def hessian(p):
        u, slope = inner(p)
        first = 2 * slope**2 - 4 * b * u - s * (1 - t) * np.cos(p[0])
        return np.array([[first, 2 * slope], [2 * slope, 2]])

    return Function(
        lambda p: float(inner(p)[0] ** 2 + s * (1 - t) * np.cos(p[0]) + s), gradient, hessian, _TWO
    )


def _easom():
    def parts(p):
        d = p - np.pi
        return d, np.exp(-(d @ d)), np.cos(p), np.sin(p)

    def gradient(p):
        d, bell, c, s = parts(p)
        return bell * (s * c[::-1] + 2 * d * c[0] * c[1])

    def hessian(p):
        d, bell, c, s = parts(p)
        both = c[0] * c[1]
        corner = -s[0] * s[1] - 2 * d[1] * s[0] * c[1] - 2 * d[0] * c[0] * s[1]
        corner -= 4 * d[0] * d[1] * both
        sides = both * (3 - 4 * d**2) - 4 * d * s * c[::-1]
        return bell * np.array([[sides[0], corner], [corner, sides[1]]])

    return Function(
        lambda p: float(-parts(p)[1] * parts(p)[2].prod()),
        gradient,
        hessian,
        ((3.0, 2.5), (2.0, 4.0)),
    )


_TWO = ((0.3, -0.7), (1.7, 2.1), (-1.2, 0.9))
_THREE = ((0.3, -0.7, 1.1), (1.2, 0.4, -0.9))
_FOUR = ((3.0, -1.0, 0.5, 1.0), (0.3, -0.4, 1.2, 0.9))

FUNCTIONS = {
    "rosenbrock": squares(_rosenbrock, (*_TWO, (-1.2, 1.0, 0.4, 1.3))),
    "beale": squares(_beale, _TWO),
    "himmelblau": squares(_himmelblau, _TWO),
    "booth": squares(_booth, _TWO),
    "powell": squares(_power, _FOUR),
    "cube": squares(_cubed(10.0), _TWO),
    "leon": squares(_cubed(1.0), _TWO),
    "dixon-price": squares(_dixon_price, _THREE),
    "freudenstein-roth": squares(_freudenstein_roth, _TWO),
    "brown": squares(_brown_badly_scaled, ((90.0, 0.03), (1.0, 1.0))),
    "matyas": _quadratic([[0.52, -0.48], [-0.48, 0.52]], [0, 0], _TWO),
    "trid": _quadratic([[2, -1, 0], [-1, 2, -1], [0, -1, 2]], [2, 2, 2], _THREE),
    "zakharov": _zakharov(),
    "exponential": _exponential(),
    "chung-reynolds": _chung_reynolds(),
    "six-hump camel": _six_hump_camel(),
    "three-hump camel": _three_hump_camel(),
    "mccormick": _mccormick(),
    "branin": _branin(),
    "easom": _easom(),
    "sum squares": separable(
        lambda x, i: i * x**2, lambda x, i: 2 * i * x, lambda x, i: 2 * i, _THREE
    ),
    "styblinski-tang": separable(
        lambda x, i: (x**4 - 16 * x**2 + 5 * x) / 2,
        lambda x, i: 2 * x**3 - 16 * x + 2.5,
        lambda x, i: 6 * x**2 - 16,
        _THREE,
    ),
    "rastrigin": separable(
        lambda x, i: 10 + x**2 - 10 * np.cos(2 * np.pi * x),
        lambda x, i: 2 * x + 20 * np.pi * np.sin(2 * np.pi * x),
        lambda x, i: 2 + 40 * np.pi**2 * np.cos(2 * np.pi * x),
        _THREE,
    ),
    "qing": separable(
        lambda x, i: (x**2 - i) ** 2,
        lambda x, i: 4 * x * (x**2 - i),
        lambda x, i: 12 * x**2 - 4 * i,
        _THREE,
    ),
}
