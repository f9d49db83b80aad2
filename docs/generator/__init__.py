"""Writes the pages of `docs/rules`: run ``python -m docs.generator``.

It stands outside the package because it is no part of what users import, and its pages are text
that is read where it lies.
"""
