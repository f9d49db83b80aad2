"""A quotient of two roots as the root of a quotient.

A processor computes roots and quotients in one and the same unit. Two of them per weight keep up
with memory, three do not: Adadelta's update takes a third less time with two. The price is range,
not precision: in float32 where the quotient of the roots is beyond 1e19 or below 1e-19.
"""

from collections.abc import Callable

import sympy

# A factor of a product, and whether the product is divided by it.
Factor = tuple[sympy.Basic, bool]


def one_root(factors: list[Factor], alone: Callable[[sympy.Basic], bool]) -> list[Factor]:
    """Return a product's factors with one root above and one below joined.

    Args:
        factors: Of the product.
        alone: Whether a root is computed per weight, and for this product alone.
    """
    roots = [f for f in factors if f[0].is_Pow and f[0].exp == sympy.S.Half and alone(f[0])]
    over = next((f for f in roots if not f[1]), None)
    under = next((f for f in roots if f[1]), None)
    if over is None or under is None:
        return factors
    below = sympy.Pow(under[0].base, -1, evaluate=False)
    quotient = sympy.Mul(over[0].base, below, evaluate=False)
    joined = sympy.Pow(quotient, sympy.S.Half, evaluate=False)
    return [*(f for f in factors if f not in (over, under)), (joined, False)]
