"""The single-file executable as a person runs it: from any folder, with nothing of the checkout around it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import builds

pytestmark = builds.linux_only

SIZE_LIMIT = 75_000_000
EXPECTED = {
    "resources",
    "sqlite",
    "ca-certificates",
    "timezones",
    "subprocess",
    "telegram",
    "discord",
    "mcp",
    "keyring",
    "skills",
}
EXPECTED |= {"qt-platform", "qt-svg", "qt-fonts", "qt-local-socket", "qt-event-loop"}


@pytest.fixture(scope="module")
def executable() -> Path:
    return builds.one_file()


@pytest.fixture
def x_display(tmp_path: Path) -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed (package xvfb)")
    # The server picks a free display and says which once it accepts connections.
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.terminate()


def test_it_stays_within_the_size_that_a_download_may_have(executable: Path) -> None:
    assert executable.stat().st_size <= SIZE_LIMIT


def test_version_is_the_one_of_the_project(executable: Path, tmp_path: Path) -> None:
    environment = builds.clean_environment(tmp_path)
    done = subprocess.run([executable, "--version"], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (f"trayclaw {builds.VERSION}\n", "", 0)


def test_smoke_passes_without_a_display_and_leaves_nothing(executable: Path, tmp_path: Path) -> None:
    details = builds.smoke([str(executable)], builds.clean_environment(tmp_path))
    assert set(details) >= EXPECTED
    assert "offscreen" in details["qt-platform"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_smoke_passes_on_an_x_server(executable: Path, tmp_path: Path, x_display: str) -> None:
    details = builds.smoke([str(executable)], builds.clean_environment(tmp_path, DISPLAY=x_display))
    assert "xcb" in details["qt-platform"]


def test_smoke_keeps_a_secret_in_the_desktops_keyring(executable: Path, tmp_path: Path) -> None:
    if shutil.which("gnome-keyring-daemon") is None or shutil.which("dbus-run-session") is None:
        pytest.skip("gnome-keyring or dbus is not installed")
    # The messages of the bus go nowhere, those of the executable to where they are looked at.
    session = 'exec 3>&2 dbus-run-session -- sh -c "$0" sh "$@" 2>/dev/null'
    unlocked = 'printf pass | gnome-keyring-daemon --unlock --components=secrets >/dev/null; exec "$@" 2>&3'
    command = ["sh", "-c", session, unlocked, str(executable)]
    details = builds.smoke(command, builds.clean_environment(tmp_path))
    assert details["keyring"] == "SecretService Keyring"
    assert details["qt-dbus"] == "session bus"


def test_programs_started_from_it_get_the_users_library_path(executable: Path, tmp_path: Path) -> None:
    environment = builds.clean_environment(tmp_path, LD_LIBRARY_PATH="/nowhere")
    assert builds.smoke([str(executable)], environment)["subprocess"]


def test_the_application_opens_a_window_and_ends_when_told(executable: Path, tmp_path: Path, x_display: str) -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed")
    environment = builds.clean_environment(tmp_path, DISPLAY=x_display)
    # There is no tray on this display, so a window has to show.
    search = ["xdotool", "search", "--sync", "--onlyvisible", "--class", "trayclaw"]
    errors = tmp_path / "errors"
    with errors.open("w") as stderr, subprocess.Popen([executable], env=environment, stderr=stderr) as application:
        try:
            found = subprocess.run(search, env=environment, capture_output=True, text=True, timeout=60)
            assert found.stdout.split(), errors.read_text()
            application.terminate()
            assert application.wait(10) == 0, errors.read_text()
        finally:
            application.kill()
    assert errors.read_text() == ""
    assert list((tmp_path / "tmp").glob("_MEI*")) == []
