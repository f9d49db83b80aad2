"""Where generated modules live: a folder of source files keyed by their text and versions.

Numba keeps compiled code beside the source file it came from, so generated code needs real
files. The file name holds a hash of all that the code depends on; a file is never changed.
"""

import os
import sys
import tempfile
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def cache_folder() -> Path:
    """Return the folder for generated code, made if need be.

    ``RAVINE_CACHE_DIR``, else the user's cache folder; where neither can be written, a folder of
    this user's in the system's temporary folder.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    chosen = Path(os.environ.get("RAVINE_CACHE_DIR") or Path(base) / "ravine")
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        if os.access(chosen, os.W_OK):
            return chosen
    except OSError:
        pass
    fallback = Path(tempfile.gettempdir()) / f"ravine-cache-{os.getuid()}"
    fallback.mkdir(mode=0o700, exist_ok=True)
    return fallback


def module_from_source(stem: str, source: str, *versions: str) -> ModuleType:
    """Write a module's source into the cache, unless it is there, and import it.

    Args:
        stem: Readable start of the file's name.
        source: The module's text.
        *versions: What else the compiled code depends on.
    """
    key = sha256("\n".join((source, sys.version, *versions)).encode()).hexdigest()[:16]
    name = f"ravine_{stem}_{key}"
    if name in sys.modules:
        return sys.modules[name]
    path = cache_folder() / f"{name}.py"
    if not path.exists():
        _write_atomically(path, source)
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _write_atomically(path: Path, text: str) -> None:
    # Two processes may generate the same module at once; a rename shows only whole files.
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(temporary).replace(path)
