"""The built-in problems, by name."""

from collections.abc import Callable

from ravine.core.errors import unknown
from ravine.problems._problem import Problem
from ravine.problems._quadratic import quadratic_data, quadratic_loss, quadratic_model


def _digits() -> Problem:
    return Problem("mlp", "digits", name="digits")


def _quadratic_deep() -> Problem:
    return Problem(
        quadratic_model,
        quadratic_data(),
        loss=quadratic_loss(),
        name="quadratic_deep",
        batch=128,
        epochs=100,
        schedule="constant",
        validation=0.0,
        normalise=False,
        reshuffle=False,
    )


_NAMED: dict[str, Callable[[], Problem]] = {
    "digits": _digits,
    "quadratic_deep": _quadratic_deep,
}


def named_problem(name: str) -> Problem:
    """Return a built-in problem, with its data, model, loss and defaults.

    ``digits``: `Problem`'s defaults. ``quadratic_deep``: DeepOBS's (arXiv:1903.05499),
    ``L(w) = mean over x of 0.5 (w - x)^T H (w - x)`` in 100 dimensions, w = 1 at the start; no
    validation split, inputs as they are, batch 128, 100 epochs in the same order, constant
    schedule; score: the loss on test, of which DeepOBS's whole batches see 896 rows.

    Raises:
        SettingError: no problem has that name.

    >>> named_problem("quadratic_deep").describe()["test"]
    896
    """
    if name not in _NAMED:
        raise unknown("problem", name, _NAMED)
    return _NAMED[name]()


def problem_names() -> list[str]:
    """Return the names that `named_problem` knows.

    >>> problem_names()
    ['digits', 'quadratic_deep']
    """
    return sorted(_NAMED)
