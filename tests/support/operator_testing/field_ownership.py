"""Server-side apply's bookkeeping: who stated which field, and what follows from that.

A model of what the operator relies on, no more: a manager owns the fields that
it states; what it stops stating goes, unless another manager states it too; a
forced apply takes a field over from whoever said something else. Lists whose
items have names merge item by item, all others are one value.

Before: ``fake_cluster`` gets an apply.
After: the merged object, and who owns what from now on.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Path = tuple[Any, ...]
"""Keys of maps as text, items of named lists as ``("#", value, …)``."""
Owners = dict[str, set[Path]]

LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "components": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
ABSENT = object()


def _keys_of(name: Any, items: list[Any]) -> tuple[str, ...] | None:
    if not items or not isinstance(items[0], dict):
        return None
    if name == "ports":
        number = "containerPort" if "containerPort" in items[0] else "port"
        # Ports of a network policy are one value; those of Services and containers have names.
        return (number, "protocol") if "name" in items[0] else None
    return LIST_KEYS.get(name)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every field that is stated, with its value; an empty map is a statement too."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
        return
    if isinstance(value, list):
        keys = _keys_of(path[-1] if path else "", value)
        if keys is not None:
            for item in value:
                yield from leaves(item, (*path, ("#", *(item[key] for key in keys))))
            return
    yield path, value


def to_fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """Return paths as ``managedFields`` shows them; items of lists in a notation of our own."""
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        for step in path:
            key = f"k:{step[1:]}" if isinstance(step, tuple) else f"f:{step}"
            node = node.setdefault(key, {})
    return tree


def apply_fields(
    live: dict[str, Any], owners: Owners, manager: str, stated: dict[str, Any]
) -> tuple[dict[str, Any], Owners]:
    """Return the object and its owners after ``manager`` applied ``stated`` by force."""
    merged = copy.deepcopy(live)
    fields = dict(leaves(stated))
    after = {name: set(paths) for name, paths in owners.items()}
    others = {path for name, paths in after.items() if name != manager for path in paths}
    stated_by_anyone = others | fields.keys()
    for path in after.get(manager, set()) - stated_by_anyone:
        _remove(merged, _whole_item(path, stated_by_anyone))
    for path, value in fields.items():
        found = _get(merged, path)
        if value == {} and isinstance(found, dict):
            # A map is merged key by key: to state none of its keys takes none away.
            continue
        if found != value:
            for paths in after.values():
                paths.discard(path)
        _set(merged, path, copy.deepcopy(value))
    after[manager] = set(fields)
    return merged, {name: paths for name, paths in after.items() if paths}


def _whole_item(path: Path, stated: set[Path]) -> Path:
    """Return the path of the named item that goes with this field, or the field's own."""
    for length, step in enumerate(path, start=1):
        is_item = isinstance(step, tuple)
        if is_item and not any(other[:length] == path[:length] for other in stated):
            return path[:length]
    return path


def _item(container: Any, name: Any, step: Any) -> Any:
    if isinstance(step, tuple):
        keys = _keys_of(name, container) if isinstance(container, list) else None
        for item in container if keys else ():
            if tuple(item.get(key) for key in keys or ()) == step[1:]:
                return item
        return ABSENT
    return container.get(step, ABSENT) if isinstance(container, dict) else ABSENT


def _get(value: Any, path: Path) -> Any:
    name: Any = ""
    for step in path:
        value = _item(value, name, step)
        if value is ABSENT:
            return ABSENT
        name = step
    return value


def _set(root: dict[str, Any], path: Path, value: Any) -> None:
    here: Any = root
    for position, step in enumerate(path[:-1]):
        found = _item(here, path[position - 1] if position else "", step)
        if found is ABSENT or found is None:
            is_list = isinstance(path[position + 1], tuple)
            found = [] if is_list else {}
            _put(here, path[position - 1] if position else "", step, found)
        here = found
    _put(here, path[-2] if len(path) > 1 else "", path[-1], value)


def _put(container: Any, name: Any, step: Any, value: Any) -> None:
    if not isinstance(step, tuple):
        container[step] = value
        return
    keys = ("containerPort", "protocol") if name == "ports" else LIST_KEYS[name]
    if name == "ports" and container and "port" in container[0]:
        keys = ("port", "protocol")
    if isinstance(value, dict):
        value.update(zip(keys, step[1:], strict=True))
    container.append(value)


def _remove(root: dict[str, Any], path: Path) -> None:
    """Remove a field, then what is left empty above it."""
    parent = _get(root, path[:-1])
    step = path[-1]
    if parent is ABSENT:
        return
    if isinstance(step, tuple):
        item = _item(parent, path[-2], step)
        if item is not ABSENT:
            parent.remove(item)
    elif isinstance(parent, dict):
        parent.pop(step, None)
    if not parent and len(path) > 1:
        _remove(root, path[:-1])
