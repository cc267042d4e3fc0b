"""What git or a sign-in would run is put back as it was, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.safety import hooks
from agent.safety.hooks import HookGuard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".git/hooks").mkdir(parents=True)
    (tmp_path / ".git/hooks/pre-commit").write_text("mine")
    (tmp_path / ".git/hooks/pre-commit").chmod(0o755)
    (tmp_path / ".git/config").write_text("[core]\n")
    return tmp_path


def test_changed_new_and_removed_ones_are_put_back(repository: Path) -> None:
    git = repository / ".git"
    (git / "hooks/post-merge").symlink_to("../../script")
    guard = HookGuard.look((repository,))
    (git / "hooks/pre-commit").write_text("evil")
    (git / "hooks/pre-push").write_text("evil")
    (git / "hooks/post-merge").unlink()
    (git / "config").write_text("[core]\nhooksPath = /tmp/evil\n")
    (repository / "new/.git/hooks").mkdir(parents=True)
    (repository / "new/.git/hooks/pre-commit").write_text("evil")
    (repository / "new/.git/config").write_text("[core]\n")
    put_back = guard.restore()
    assert (git / "hooks/pre-commit").read_text() == "mine" and os.access(git / "hooks/pre-commit", os.X_OK)
    assert (git / "hooks/post-merge").readlink() == Path("../../script")
    assert not (git / "hooks/pre-push").exists() and (git / "config").read_text() == "[core]\n"
    assert not (repository / "new/.git/hooks/pre-commit").exists() and (repository / "new/.git/config").exists()
    assert len(put_back) == 5 and guard.restore() == []


def test_gently_it_leaves_what_a_person_may_have_changed(repository: Path) -> None:
    guard = HookGuard.look((repository,))
    config, hook = repository / ".git/config", repository / ".git/hooks/pre-commit"
    config.write_text('[remote "origin"]\nurl = x\n')
    assert guard.restore(settings=False) == [] and "origin" in config.read_text()
    config.write_text("[core]\nsshCommand = evil\n")
    assert guard.restore(settings=False) == [".git/config"] and config.read_text() == "[core]\n"
    hook.write_text("mine, but newer")
    (repository / ".git/hooks/pre-push").write_text("evil")
    assert guard.restore(known=False) == [".git/hooks/pre-push"] and hook.read_text() == "mine, but newer"


def test_sign_in_files_too_also_where_there_are_none_yet(tmp_path: Path) -> None:
    startup = tuple(tmp_path / name for name in (".bashrc", ".profile", ".config/autostart", ".local/bin"))
    (tmp_path / ".bashrc").write_text("mine")
    (tmp_path / ".local/bin").mkdir(parents=True)
    (tmp_path / ".local/bin/large").write_bytes(b"x" * (hooks._LARGEST + 1))
    guard = HookGuard.look((tmp_path,), startup)
    (tmp_path / ".bashrc").write_text("evil")
    (tmp_path / ".profile").write_text("evil")
    (tmp_path / ".config/autostart/deep").mkdir(parents=True)
    (tmp_path / ".config/autostart/deep/x.desktop").write_text("evil")
    (tmp_path / ".local/bin/large").write_bytes(b"y" * (hooks._LARGEST + 2))
    put_back = guard.restore()
    assert (tmp_path / ".bashrc").read_text() == "mine" and not (tmp_path / ".profile").exists()
    assert not (tmp_path / ".config/autostart/deep/x.desktop").exists()
    assert ".local/bin/large" in put_back, "what is too large to be kept is at least told"
    assert (tmp_path / ".local/bin/large").stat().st_size == hooks._LARGEST + 2
