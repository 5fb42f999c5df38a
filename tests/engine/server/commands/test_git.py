"""What git knows of the project: an edit that is not committed is named, and what keeps git from saying so stops."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server.commands import git
from server.commands.git import NO_GIT, check_committed
from server.commands.project_edits import EditError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
IDENTITY = ("-c", "user.name=A person", "-c", "user.email=person@example.org", "-c", "gc.auto=0")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
OTHER_ACCOUNT = 65534


def run(root: Path, *command: str) -> None:
    subprocess.run(["git", *IDENTITY, *command], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with four files, all committed."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("a", "b", "c", "ä d"):
        (root / name).write_text(f"{name} 1", encoding="utf-8")
    run(root, "init", "-q")
    run(root, "add", "-A")
    run(root, "commit", "-qm", "x")
    return root


def check(root: Path, *names: str) -> str:
    """Ask before these files are written over."""
    return check_committed(root, {root / name: "other" for name in names or ("a",)})


def test_what_is_committed_may_be_written_over(root: Path) -> None:
    (root / "untracked").write_text("mine", encoding="utf-8")
    assert check(root, "a", "ä d", "new") == ""


def test_edits_that_are_not_committed_are_named(root: Path) -> None:
    for name in ("a", "b", "c", "ä d"):
        (root / name).write_text("2", encoding="utf-8")
    with pytest.raises(EditError, match=r"not committed \(a, b, c and 1 more\)\. Nothing was changed"):
        check(root, "a")
    run(root, "add", "a", "b", "c")
    run(root, "commit", "-qm", "y")
    with pytest.raises(EditError, match=r"not committed \(ä d\)"):
        check(root, "a")


@pytest.mark.parametrize("how", ["untracked", "ignored", "assumed unchanged", "skipped"])
def test_an_edit_that_git_does_not_notice_is_noticed(root: Path, how: str) -> None:
    name = "a"
    if how in ("untracked", "ignored"):
        name = "mine"
        (root / ".git/info/exclude").write_text("mine\n" if how == "ignored" else "", encoding="utf-8")
    else:
        run(root, "update-index", "--assume-unchanged" if how == "assumed unchanged" else "--skip-worktree", "a")
    (root / name).write_text("an edit", encoding="utf-8")
    with pytest.raises(EditError, match=rf"not committed \({name}\)"):
        check(root, name)


def test_a_project_in_a_larger_repository_is_judged_by_its_own_files(root: Path) -> None:
    inner = root / "inner"
    inner.mkdir()
    (inner / "a").write_text("inner", encoding="utf-8")
    with pytest.raises(EditError, match=r"not committed \(a\)"):
        check(inner)
    run(root, "add", "-A")
    run(root, "commit", "-qm", "y")
    (root / "b").write_text("elsewhere", encoding="utf-8")
    assert check(inner) == ""
    (inner / "a").write_text("edited", encoding="utf-8")
    with pytest.raises(EditError, match=r"not committed \(a\)"):
        check(inner)


def test_a_worktree_and_a_submodule_are_repositories_too(root: Path, tmp_path: Path) -> None:
    tree, outer = tmp_path / "tree", tmp_path / "outer"
    run(root, "worktree", "add", "-q", str(tree))
    outer.mkdir()
    run(outer, "init", "-q")
    run(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(root), "inside")
    for each in (tree, outer / "inside"):
        assert check(each) == ""
        (each / "a").write_text("edited", encoding="utf-8")
        with pytest.raises(EditError, match=r"not committed \(a\)"):
            check(each)


def test_without_a_repository_nothing_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1", encoding="utf-8")
    assert check(tmp_path) == NO_GIT
    with pytest.raises(EditError, match=r"no git repository here.*git init && git add -A && git commit"):
        check_committed(tmp_path, {tmp_path / "a": None})


def test_another_repository_that_the_environment_names_is_not_asked(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    (root / "a").write_text("edited", encoding="utf-8")
    with pytest.raises(EditError, match=r"not committed \(a\)"):
        check(root)


def of_another_account(root: Path) -> None:
    os.chown(root, OTHER_ACCOUNT, OTHER_ACCOUNT)
    os.chown(root / ".git", OTHER_ACCOUNT, OTHER_ACCOUNT)


def without_head(root: Path) -> None:
    (root / ".git/HEAD").unlink()


def with_a_broken_index(root: Path) -> None:
    (root / ".git/index").write_bytes(b"DIRC\0\0\0\2 broken")


def with_a_broken_commit(root: Path) -> None:
    for path in (root / ".git/objects").rglob("*"):
        if path.is_file():
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
            path.write_bytes(b"broken")


def locked(root: Path) -> None:
    (root / ".git/index.lock").touch()


def bare(root: Path) -> None:
    run(root, "config", "core.bare", "true")


def elsewhere(root: Path) -> None:
    shutil.rmtree(root / ".git")
    (root / ".git").write_text("gitdir: /nowhere/at/all\n", encoding="utf-8")


def odd_configuration(root: Path) -> None:
    (root / ".git/config").write_text("[core\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        pytest.param(
            of_another_account,
            r"belongs to another account.*git config --global --add safe\.directory",
            marks=pytest.mark.skipif(not IS_ROOT, reason="only root can give a directory to another account"),
        ),
        (without_head, r"not a git repository.*git init"),
        (with_a_broken_index, r"index file.*rm \.git/index"),
        (with_a_broken_commit, r"Mend what `git status` says"),
        (locked, r"Another git is at work here: there is .*index\.lock"),
        (bare, r"work tree.*a clone of this repository"),
        (elsewhere, r"not a git repository"),
        (odd_configuration, r"bad config"),
    ],
)
def test_a_repository_that_cannot_be_asked_stops(
    root: Path, broken: Callable[[Path], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever this machine takes for safe.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (root / "a").write_text("edited", encoding="utf-8")
    broken(root)
    with pytest.raises(EditError, match=rf"(?s){words}") as raised:
        check(root)
    assert "Nothing was changed." in str(raised.value)


def test_where_git_is_not_to_be_had_it_stops(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(EditError, match=r"it is not installed\. Nothing was changed\. Install it; then try again"):
        check(root)
    fake = programs / "git"
    fake.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n", encoding="utf-8")
    if not IS_ROOT:
        with pytest.raises(EditError, match="does not start"):
            check(root)
    fake.chmod(0o700)
    monkeypatch.setattr(git, "PATIENCE", 0.2)
    with pytest.raises(EditError, match=r"has not answered for 0\.2 seconds\. Nothing was changed"):
        check(root)
    monkeypatch.setattr(git, "PATIENCE", 30)
    fake.write_text("#!/bin/sh\nkill -9 $$\n", encoding="utf-8")
    with pytest.raises(EditError, match="exit code -9"):
        check(root)
