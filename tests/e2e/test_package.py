"""The Debian package: validated, installed on this machine, used, and purged without a trace."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import builds

pytestmark = builds.linux_only


def run(*command: str | Path, check: bool = True, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    assert not check or done.returncode == 0, f"{command} exited {done.returncode}: {done.stdout}{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg on this system")
    folder = builds.folder()
    output = tmp_path_factory.mktemp("deb")
    run(sys.executable, "installers/linux/package.py", "--folder", folder, "--output", output, cwd=builds.ROOT)
    (package,) = output.glob("*.deb")
    return package


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "--extract", package, folder)
    return folder


@pytest.fixture(scope="module")
def installed(package: Path) -> Iterator[list[Path]]:
    """Every path that the package put on this system and that nothing else owns."""
    if os.geteuid() != 0:
        pytest.skip("installing a package takes root")
    if subprocess.run(["dpkg", "--status", "trayclaw"], capture_output=True).returncode == 0:
        pytest.skip("a trayclaw package is installed here already, which this test must not remove")
    before = set(Path("/usr/bin").iterdir()) | set(Path("/etc").rglob("*"))
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "install", "-qq", "-y", "--no-install-recommends", package, env=environment)
    try:
        added = set(Path("/etc").rglob("*trayclaw*")) - before
        assert not added, "the package configures nothing and starts nothing by itself"
        yield [path for line in run("dpkg", "--listfiles", "trayclaw").splitlines() if _own(path := Path(line))]
    finally:
        run("dpkg", "--purge", "trayclaw", check=False)


def _own(path: Path) -> bool:
    return "trayclaw" in str(path).lower()


def test_the_package_is_named_after_version_and_machine(package: Path) -> None:
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    assert package.name == f"trayclaw_{builds.VERSION}_{architecture}.deb"


def test_desktop_entry_and_description_are_valid(unpacked: Path) -> None:
    share = unpacked / "usr" / "share"
    if shutil.which("desktop-file-validate") is None or shutil.which("appstreamcli") is None:
        pytest.skip("desktop-file-utils or appstream is not installed")
    assert run("desktop-file-validate", share / "applications" / "trayclaw.desktop") == ""
    (description,) = (share / "metainfo").iterdir()
    run("appstreamcli", "validate", "--no-net", description)
    icons = share / "icons" / "hicolor"
    assert (icons / "scalable" / "apps" / "trayclaw.svg").is_file()
    assert (icons / "48x48" / "apps" / "trayclaw.png").read_bytes().startswith(b"\x89PNG")


def test_every_library_is_inside_or_in_a_package_it_depends_on(package: Path, unpacked: Path) -> None:
    depends = run("dpkg-deb", "--field", package, "Depends")
    promised = {re.split(r"[ (:]", entry.strip())[0] for entry in depends.split(",")}
    files = [path for path in (unpacked / "usr" / "lib" / "trayclaw").rglob("*") if path.is_file()]
    binaries = [path for path in files if path.read_bytes().startswith(b"\x7fELF")]
    output = run("readelf", "-d", *binaries)
    wanted = set(re.findall(r"\(NEEDED\).*\[(.+?)\]", output)) - {path.name for path in files}
    assert wanted, "readelf named no library at all"
    owners = run("dpkg", "--search", *(f"*/{name}" for name in sorted(wanted)), check=False)
    for name in sorted(wanted):
        packages = {line.split(":")[0] for line in owners.splitlines() if line.endswith(f"/{name}")}
        assert {re.sub("t64$", "", owner) for owner in packages} & promised, f"{name} is in {packages}, not in Depends"


def test_nothing_in_it_names_the_folder_it_was_built_in(unpacked: Path) -> None:
    place = str(builds.ROOT).encode()
    assert [p for p in unpacked.rglob("*") if p.is_file() and not p.is_symlink() and place in p.read_bytes()] == []


def test_installed_it_runs_and_purged_it_leaves_nothing(installed: list[Path], tmp_path: Path) -> None:
    assert Path("/usr/bin/trayclaw") in installed
    environment = builds.clean_environment(tmp_path)
    assert run("trayclaw", "--version", env=environment) == f"trayclaw {builds.VERSION}\n"
    assert builds.smoke(["trayclaw"], environment)["resources"]
    answer = run("trayclaw", "ask", "--json", "Say hello.", env=environment)
    assert json.loads(answer.splitlines()[-1])["status"] == "answered", "the built-in model does not answer"

    run("dpkg", "--purge", "trayclaw")
    assert [path for path in installed if os.path.lexists(path)] == []
    assert subprocess.run(["dpkg", "--status", "trayclaw"], capture_output=True).returncode != 0
