"""The plugin manager: finds plugins, and asks them for what they register.

Plugins are found through the entry-point group `gpudl` of installed distributions, and as single files given with
`--plugin`. One that cannot be imported is reported with its distribution's name and skipped; `strict` makes that an
error.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from gpudl import hookspecs, registry
from gpudl.errors import PluginError, did_you_mean
from gpudl.plugins import builtins

GROUP = "gpudl"


@dataclass(frozen=True)
class Plugin:
    """A plugin as `gpudl plugins list` shows it."""

    name: str
    source: str
    version: str
    error: str = ""


class Manager:
    """The plugins of this process. `plugins` lists them, those that failed to import included."""

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.plugins: list[Plugin] = []
        self.files: list[str] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._pluggy = pluggy.PluginManager("gpudl")
        self._pluggy.add_hookspecs(hookspecs)
        self._add(builtins, Plugin("gpudl", "built in", ""))
        for entry_point in entry_points(group=GROUP):
            self._load(entry_point)

    def _load(self, entry_point: EntryPoint) -> None:
        distribution = entry_point.dist.name if entry_point.dist else "unknown distribution"
        version = entry_point.dist.version if entry_point.dist else ""
        if (distribution, entry_point.name, entry_point.value) in self._seen:
            return  # the same distribution lies in two folders of sys.path
        self._seen.add((distribution, entry_point.name, entry_point.value))
        if self._pluggy.has_plugin(distribution):
            distribution = f"{distribution}:{entry_point.name}"
        try:
            module = entry_point.load()
        except (Exception, SystemExit) as error:  # whatever a stranger's module raises must not stop gpudl
            self._failed(Plugin(distribution, entry_point.value, version, f"{type(error).__name__}: {error}"))
            return
        self._add(module, Plugin(distribution, entry_point.value, version))

    def add_file(self, path: str) -> None:
        """Load a plugin from a single file. Raises: PluginError where it cannot be read or breaks the rules."""
        file = Path(path)
        if not file.is_file():
            near = did_you_mean(file.name, [p.name for p in file.parent.glob("*.py")] if file.parent.is_dir() else [])
            missing = "is a folder, expected a .py file" if file.is_dir() else "there is no such file"
            raise PluginError(f"--plugin {path}: {missing}{near}")
        name = f"gpudl_plugin_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
        if self._pluggy.has_plugin(file.name):
            return
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise PluginError(f"--plugin {path}: not a Python file; its name must end in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # as above, but a file asked for by name is never skipped
            del sys.modules[name]
            raise PluginError(f"--plugin {path}: {type(error).__name__}: {error}") from error
        self._add(module, Plugin(file.name, str(file), ""))
        if not self._pluggy.get_hookcallers(module):
            raise PluginError(
                f"--plugin {path}: registers nothing; write a function like register_layers(register) and put "
                "@hookimpl, from gpudl.hookspecs, before it"
            )
        self.files.append(path)
        registry.forget()

    def _failed(self, plugin: Plugin) -> None:
        if self.strict:
            raise PluginError(f'plugin "{plugin.name}" ({plugin.source}) cannot be imported: {plugin.error}')
        self.plugins.append(plugin)
        print(
            f'gpudl: plugin "{plugin.name}" ({plugin.source}) cannot be imported and is skipped: {plugin.error}',
            file=sys.stderr,
        )

    def _add(self, module: ModuleType, plugin: Plugin) -> None:
        hooks = [f"register_{kind}" for kind in hookspecs.KINDS]
        for name in vars(module):
            if name not in hooks and hasattr(getattr(module, name), f"{GROUP}_impl"):
                raise PluginError(
                    f'plugin "{plugin.name}" implements {name}, which is no hook{did_you_mean(name, hooks)}'
                )
        try:
            self._pluggy.register(module, plugin.name)
            self._pluggy.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f'plugin "{plugin.name}": {error}') from None
        self.plugins.append(plugin)

    def registrations(self, kind: str) -> Iterator[tuple[str, str, Any]]:
        """Yield (owner, name, class) for everything plugins register of a kind; gpudl's own come first."""
        calls = sorted(
            getattr(self._pluggy.hook, f"register_{kind}").get_hookimpls(), key=lambda call: call.plugin_name != "gpudl"
        )
        for call in calls:
            found: list[tuple[str, Any]] = []
            try:
                call.function(lambda name, item, found=found: found.append((name, item)))
            except Exception as error:
                if call.plugin_name == "gpudl":
                    raise
                raise PluginError(
                    f'plugin "{call.plugin_name}": register_{kind} failed: {type(error).__name__}: {error}'
                ) from error
            for name, item in found:
                yield call.plugin_name, name, item


_manager: Manager | None = None


def manager() -> Manager:
    """Return the process's manager, made at the first call."""
    global _manager
    if _manager is None:
        _manager = Manager()
    return _manager


def start(strict: bool = False, files: list[str] | None = None) -> Manager:
    """Begin anew with these options. Raises: PluginError."""
    global _manager
    registry.forget()
    _manager = Manager(strict)
    for file in files or []:
        _manager.add_file(file)
    return _manager


def registrations(kind: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (owner, name, class) for everything of a kind: what `gpudl.registry` asks for."""
    return manager().registrations(kind)
