"""What is to be done when a library is loaded, which may be later than the restore: or at once, where it is already."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["when_loaded"]


def when_loaded(package: str, do: Callable[[], object]) -> None:
    """Call `do` now, where the package is loaded, else right after its import: before the program has used it."""
    module = sys.modules.get(package)
    spec = getattr(module, "__spec__", None)
    if module is not None and not getattr(spec, "_initializing", False):
        do()
    else:
        sys.meta_path.insert(0, _Watch(package, do))


class _Watch(MetaPathFinder):
    """Sees one import, and is gone."""

    def __init__(self, package: str, do: Callable[[], object]) -> None:
        self._package = package
        self._do = do

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._package:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._do)
        return spec


class _Loader(Loader):
    """The library's own loader, and something to do after it."""

    def __init__(self, own: Loader, do: Callable[[], object]) -> None:
        self._own = own
        self._do = do

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        self._do()
