"""The one place that makes Chainer 7.8.1 work on today's Python and NumPy.

Chainer's last release predates NumPy 1.24, NumPy 2 and the setuptools without ``pkg_resources``. This
module imports no Chainer. It puts a finder in front of ``sys.meta_path`` that mends the few modules
named in `vdprune.chainer_mends.MENDS` as they are imported, whoever imports them; those imported already
are mended at once.
"""

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

from vdprune.chainer_mends import MENDS, EnvironmentCheckLoader


class _MendingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules in `MENDS` where the other finders do, and mends them as they load."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "chainer._environment_check":
            return importlib.machinery.ModuleSpec(fullname, EnvironmentCheckLoader())
        if fullname not in MENDS:
            return None
        spec = self._find_elsewhere(fullname, path, target)
        if spec is not None and spec.loader is not None:
            self._mend_on_load(fullname, spec.loader)
        return spec

    def _find_elsewhere(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self:
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    return spec
        return None

    def _mend_on_load(self, fullname: str, loader: Any) -> None:
        while_importing, mend = MENDS[fullname]
        load = loader.exec_module

        def exec_module(module: Any) -> None:
            with while_importing():
                load(module)
            if mend is not None:
                mend(module)

        loader.exec_module = exec_module


def install() -> None:
    """Mend what is loaded of Chainer, and whatever of it is imported from now on. Done once."""
    if any(isinstance(finder, _MendingFinder) for finder in sys.meta_path):
        return
    if "chainer" in sys.modules:
        for name, (_, mend) in MENDS.items():
            if mend is not None and name in sys.modules:
                mend(sys.modules[name])
    sys.meta_path.insert(0, _MendingFinder())
