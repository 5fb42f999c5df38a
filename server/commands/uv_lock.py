"""uv.lock, edited without asking a registry: the project has another name, or one group of dependencies less."""

import re
import tomllib

_BETWEEN = "\n\n[[package]]\n"


def renamed(text: str, old: str, new: str) -> str:
    """The lock of a project that is called otherwise."""
    head, *packages = text.removesuffix("\n").split(_BETWEEN)
    own = f'name = "{old}"\n'
    packages = [
        package.replace(own, f'name = "{new}"\n', 1) if package.startswith(own) else package for package in packages
    ]
    return _BETWEEN.join([head, *sorted(packages, key=_name)]) + "\n"


def without_group(text: str, project: str, group: str) -> str:
    """The lock without a group of dependencies, and without the packages that only that group needed."""
    left = re.sub(rf"^{group} = \[\n(?:    .*\n)*\]\n", "", text, flags=re.MULTILINE)
    needed = _needed(left, project)
    head, *packages = left.removesuffix("\n").split(_BETWEEN)
    return _BETWEEN.join([head, *(package for package in packages if _name(package) in needed)]) + "\n"


def _needed(text: str, project: str) -> set[str]:
    """The project, and all that it depends on."""
    needs: dict[str, set[str]] = {}
    for package in tomllib.loads(text)["package"]:
        groups = {**package.get("optional-dependencies", {}), **package.get("dev-dependencies", {})}
        lists = [package.get("dependencies", []), *groups.values()]
        needs.setdefault(package["name"], set()).update(each["name"] for found in lists for each in found)
    needed: set[str] = set()
    waiting = [project]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += needs[name]
    return needed


def _name(package: str) -> str:
    return package.partition("\n")[0].removeprefix('name = "').removesuffix('"')
