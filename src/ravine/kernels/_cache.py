"""Where generated modules live: a folder of source files keyed by their text and versions.

Numba keeps compiled code beside the source file it came from, so generated code needs real
files. The file name holds a hash of all that the code depends on; a file is never changed.
"""

import os
import sys
import tempfile
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

# Two threads that want the same module at once must get one and the same.
_IMPORT = Lock()


def cache_folder() -> Path:
    """Return the folder for generated code, made if need be.

    ``RAVINE_CACHE_DIR``, else the user's cache folder; where it cannot be written, a folder of
    this user's in the system's temporary folder.
    """
    try:
        given = os.environ.get("RAVINE_CACHE_DIR")
        chosen = Path(given) if given else _user_cache() / "ravine"
        chosen.mkdir(parents=True, exist_ok=True)
        if os.access(chosen, os.W_OK):
            return chosen
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        pass
    return _temporary_folder()


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@lru_cache(maxsize=1)
def _temporary_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"  # Windows keeps one folder per user
    folder = Path(tempfile.gettempdir()) / f"ravine-cache-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    # Code is run from here: another user may have made a folder of that name to plant some.
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        return Path(tempfile.mkdtemp(prefix="ravine-cache-"))
    return folder


def module_from_source(stem: str, source: str, *versions: str) -> ModuleType:
    """Write a module's source into the cache, unless it is there, and import it.

    Args:
        stem: Readable start of the file's name.
        source: The module's text.
        *versions: What else the compiled code depends on.
    """
    key = sha256("\n".join((source, sys.version, *versions)).encode()).hexdigest()[:16]
    name = f"ravine_{stem}_{key}"
    with _IMPORT:
        return sys.modules[name] if name in sys.modules else _imported(name, source)


def compiled_with(*helpers: str) -> tuple[str, ...]:
    """Return what generated code depends on: versions, and the text of what it imports from here.

    Numba looks at the generated file alone to see whether its cache still holds.

    Args:
        *helpers: Names of files beside this one, besides the pointers that all use.
    """
    here = Path(__file__).parent
    texts = [(here / f"{name}.py").read_text(encoding="utf-8") for name in ("_pointers", *helpers)]
    return version("numba"), version("numpy"), *texts


def _imported(name: str, source: str) -> ModuleType:
    path = cache_folder() / f"{name}.py"
    if not path.exists():
        _write_atomically(path, source)
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module  # numba looks the module up by name when it pickles functions
    return module


# What Numba's cache loads with; not part of its public interface.
_PARTS = ("_load_overload", "_guard_against_spurious_io_errors")


def load_lightly(function: Any) -> None:
    """Let a cached Numba function be loaded without Numba's tables of types and functions."""
    function._cache = light_cache(function.py_func) or function._cache


def light_cache(function: Any) -> Any:
    """Return a cache for a Python function's compiled code that loads it lightly.

    Numba fills its tables of types and functions before it loads anything. Only compiling needs
    them, which fills them itself, and they take 0.3 s: twice as long as importing Numba. None
    where Numba's cache is made otherwise than in the versions known.
    """
    from numba.core.caching import FunctionCache  # noqa: PLC0415  (costs 0.4 s)
    from numba.core.runtime import rtsys  # noqa: PLC0415

    if not all(hasattr(FunctionCache, name) for name in _PARTS):
        return None

    class LightCache(FunctionCache):
        def load_overload(self, sig: Any, target_context: Any) -> Any:
            rtsys.initialize(target_context)  # what compiled code calls, not how it is typed
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)

    return LightCache(function)


def _write_atomically(path: Path, text: str) -> None:
    # Two processes may generate the same module at once; a rename shows only whole files.
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(temporary).replace(path)
