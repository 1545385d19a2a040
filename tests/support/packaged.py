"""Files that installed packages carry, found without importing the packages.

Before: the development environment is installed.
After: tests and benchmarks have inputs that nobody here made.
"""

from importlib.util import find_spec
from pathlib import Path


def packaged(package: str, name: str) -> Path:
    """Return the path of a package's file.

    Raises:
        FileNotFoundError: there is no such file.
    """
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / name
        if path.exists():
            return path
    raise FileNotFoundError(f"{package} with {name}: run `make setup`")
