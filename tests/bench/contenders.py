"""The two programs that are measured and the floor: how each is installed, configured and started."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import BenchError, line_with, run

ROOT = Path(__file__).parents[2]
NANOBOT_VERSION = "0.3.5"
NANOBOT_ENVIRONMENT = Path(__file__).parent / ".nanobot"
ANSWER = (
    "Hello! I am happy to help. Tell me what you would like to do today, and I will look at the files, find what is "
    "missing, and come back with a short plan that we can go through together, one step at a time, until it is done."
)


@dataclass(frozen=True)
class Contender:
    name: str
    python: str
    driver: str
    home: Path
    environ: dict[str, str]
    version: tuple[str, ...] = ()
    one_shot: tuple[str, ...] = ()
    resident: tuple[str, ...] = ()
    tray: tuple[str, ...] = ()
    ready: Callable[[subprocess.Popen[str]], bool] = lambda process: True

    def drive(self, url: str, what: str, count: int) -> dict[str, float | list[float]]:
        """Run the in-process driver; raise `BenchError`."""
        self.configure(url)
        command = [self.python, "-m", self.driver, "--url", url, "--home", str(self.home), "--expect", ANSWER]
        output = run([*command, what, str(count)], {**self.environ, "PYTHONPATH": str(ROOT)}, ROOT).output
        figures: dict[str, float | list[float]] = json.loads(output.strip().splitlines()[-1])
        return figures

    def configure(self, url: str) -> None:
        """Write the configuration for the model service at `url`."""
        self.home.mkdir(parents=True, exist_ok=True)
        if self.name == "nanobot":
            defaults = {"workspace": str(self.home / "workspace"), "model": "fake-1", "provider": "custom"}
            config = {
                "agents": {"defaults": defaults},
                "providers": {"custom": {"apiKey": "none", "apiBase": url}},
                "gateway": {"port": self._gateway_port()},
            }
            (self.home / "config.json").write_text(json.dumps(config))
        elif self.name == "trayclaw":
            config_file = self.home / "config.toml"
            config_file.parent.mkdir(parents=True, exist_ok=True)
            provider = f'[providers.local]\nprotocol = "chat-completions"\nbase_url = "{url}"\n'
            desktop = "[desktop]\nwelcomed = true\n"
            config_file.write_text(f'[model]\ndefault = "local/fake-1"\n{provider}{desktop}')

    def _gateway_port(self) -> int:
        return int(self.environ["BENCH_GATEWAY_PORT"])


def floor(home: Path) -> Contender:
    return Contender("floor", sys.executable, "tests.bench.drive_floor", home, _environ(home))


def trayclaw(home: Path) -> Contender:
    program = str(Path(sys.executable).with_name("trayclaw"))
    return Contender(
        "trayclaw",
        sys.executable,
        "tests.bench.drive_trayclaw",
        home,
        {**_environ(home), "TRAYCLAW_HOME": str(home), "TRAYCLAW_KEY_LOCAL": "none"},
        version=(program, "--version"),
        one_shot=(program, "ask", "hi"),
        resident=(program, "serve", "--json"),
        tray=(sys.executable, "-m", "desktop", "--background"),
        ready=line_with('"ready"'),
    )


def nanobot(home: Path) -> Contender:
    """Install nanobot into its own environment when it is not there yet."""
    program = NANOBOT_ENVIRONMENT / "bin" / "nanobot"
    if not program.exists():
        _install_nanobot()
    port = _free_port()
    config = str(home / "config.json")
    return Contender(
        "nanobot",
        str(program.with_name("python")),
        "tests.bench.drive_nanobot",
        home,
        {**_environ(home), "BENCH_GATEWAY_PORT": str(port)},
        version=(str(program), "--version"),
        one_shot=(str(program), "agent", "--config", config, "--no-markdown", "--message", "hi"),
        resident=(str(program), "gateway", "--foreground", "--config", config),
        ready=_healthy(port),
    )


@contextmanager
def model_service(latency: float = 0.0, chunk_delay: float = 0.0, log: Path | None = None) -> Iterator[str]:
    """The model service as a process of its own; yields its base URL."""
    command = [sys.executable, "-m", "tests.peers.model_server", "--text", ANSWER]
    command += ["--latency", str(latency), "--chunk-delay", str(chunk_delay)]
    if log is not None:
        command += ["--log", str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["base_url"])
        finally:
            process.terminate()


def _environ(home: Path) -> dict[str, str]:
    """A small environment of its own: no keys, no desktop, no real home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {**kept, "HOME": str(home)}


def _install_nanobot() -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise BenchError("uv is needed to install nanobot")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    print(f"installing nanobot-ai {NANOBOT_VERSION} into {NANOBOT_ENVIRONMENT.relative_to(ROOT)} ...", file=sys.stderr)
    target = str(NANOBOT_ENVIRONMENT)
    run([uv, "venv", "--quiet", "--clear", "--python", version, target], environ, ROOT)
    packages = ["--compile-bytecode", f"nanobot-ai=={NANOBOT_VERSION}"]
    run([uv, "pip", "install", "--quiet", "--python", f"{target}/bin/python", *packages], environ, ROOT)


def _healthy(port: int) -> Callable[[subprocess.Popen[str]], bool]:
    """Ready when nanobot's gateway answers its health check."""

    def ready(process: subprocess.Popen[str]) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(64)
        except OSError:
            time.sleep(0.005)
            return False

    return ready


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
