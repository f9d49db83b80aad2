"""Compiling the stacked gradient, where a C++ compiler is there to do it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from ravine.core.errors import first_line
from ravine.population._products import transpose_narrow_products

Notice = Callable[[str], None]


def compiled(function: Callable[..., Any], arguments: tuple[Any, ...], notice: Notice) -> Any:
    """Return a function compiled for arguments of these shapes, or itself with a notice.

    The function is traced to a flat graph first: models may then use any Python that vmap can
    run, not only what torch's bytecode tracer understands.

    Args:
        function: A stacked function.
        arguments: An example.
        notice: Called with a sentence when the function has to run uncompiled.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler  # noqa: PLC0415
    from torch._inductor.exc import InvalidCxxCompiler  # noqa: PLC0415

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        notice(
            "no C++ compiler found, so members train uncompiled, about three times slower;"
            " install one (such as g++) or name it in the variable CXX"
        )
        return function
    try:
        _import_compiler()
        with torch.no_grad():
            graph = make_fx(torch.func.functionalize(function, remove="mutations"))(*arguments)
            transpose_narrow_products(graph)
            fast = torch.compile(graph, fullgraph=True, dynamic=False)
            fast(*arguments)
    except Exception as error:
        reason = first_line(getattr(error, "inner_exception", error))
        notice(f"the model could not be compiled and trains slower ({reason})")
        return function
    return fast


def _import_compiler() -> None:
    with warnings.catch_warnings():
        # torch's compiler imports parts of torch that torch itself deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        import_module("torch._inductor.compile_fx")


def as_compiled() -> Any:
    """Return a context in which nothing is compiled anew: what does not fit runs uncompiled.

    Shapes and layouts never change, so everything fits. Were it otherwise, a forked worker would
    wait for ever for the compiler's threads, which only its parent has.
    """
    return torch.compiler.set_stance("eager_on_recompile")


@contextmanager
def one_thread() -> Iterator[None]:
    """Run a block with one thread per operation: a population's workers have a core each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
