"""The lock, edited without a registry: the project stands where its name says, what nobody needs is gone."""

import tomllib

from server.app_name import SLUG
from server.commands.uv_lock import renamed, without_group
from tests.engine.conftest import ROOT

LOCK = """version = 1

[[package]]
name = "app"
source = { virtual = "." }
dependencies = [
    { name = "served" },
]

[package.dev-dependencies]
bench = [
    { name = "peer", extra = ["all"] },
    { name = "shared" },
]
dev = [
    { name = "shared" },
]

[package.metadata]
requires-dist = [{ name = "served" }]

[package.metadata.requires-dev]
bench = [
    { name = "peer", extras = ["all"] },
    { name = "shared" },
]
dev = [{ name = "shared" }]

[[package]]
name = "beneath-peer"

[[package]]
name = "peer"

[package.optional-dependencies]
all = [
    { name = "beneath-peer" },
]

[[package]]
name = "served"

[[package]]
name = "shared"
dependencies = [
    { name = "shared-too" },
]

[[package]]
name = "shared-too"
"""


def names(lock: str) -> list[str]:
    return [package["name"] for package in tomllib.loads(lock)["package"]]


def test_a_project_of_another_name_stands_in_its_place() -> None:
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    other = renamed(lock, SLUG, "zucchini")
    assert sorted(names(other)) == names(other)
    assert set(names(lock)) - set(names(other)) == {SLUG}
    assert renamed(other, "zucchini", SLUG) == lock


def test_what_only_a_group_needed_goes_with_it() -> None:
    left = without_group(LOCK, "app", "bench")
    assert names(left) == ["app", "served", "shared", "shared-too"]
    assert "bench" not in left
    assert "peer" not in left


def test_a_lock_without_the_group_stays_as_it_is() -> None:
    assert without_group(LOCK, "app", "docs") == LOCK
