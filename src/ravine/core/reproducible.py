"""Making matrix products give the same bits wherever their operands lie in memory."""

import os


def fix_products() -> None:
    """Let MKL choose how to multiply by shape alone, unless the user has chosen a mode.

    Otherwise it also looks at addresses, and a member whose widths are no multiples of 4 ends with
    other last digits in another slot. MKL reads the variable at its first product: a program that
    multiplies with torch before it imports Ravine's problems should set ``MKL_CBWR=AUTO`` itself.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO")
