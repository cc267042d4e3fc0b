"""Where TrayClaw keeps things on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "TRAYCLAW_HOME"


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one installation. Nothing is created until `prepare`."""

    config: Path
    data: Path
    cache: Path
    workspace: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """The folders for this user; with `TRAYCLAW_HOME` they are one folder (portable mode, tests)."""
        home = environ.get(HOME_VARIABLE)
        if home:
            root = Path(home).expanduser().absolute()
            return cls(root, root, root / "cache", root / "workspace")
        import platformdirs

        folders = platformdirs.PlatformDirs("TrayClaw" if os.name == "nt" else "trayclaw", appauthor=False)
        return cls(
            Path(folders.user_config_dir),
            Path(folders.user_data_dir),
            Path(folders.user_cache_dir),
            Path.home() / "TrayClaw",
        )

    @property
    def config_file(self) -> Path:
        """The settings."""
        return self.config / "config.toml"

    @property
    def database(self) -> Path:
        """Everything that TrayClaw remembers."""
        return self.data / "trayclaw.db"

    @property
    def logs(self) -> Path:
        """The log files."""
        return self.data / "logs"

    @property
    def secrets_file(self) -> Path:
        """The encrypted keys of a machine without a keyring."""
        return self.data / "secrets.enc"

    def prepare(self) -> None:
        """Create the folders, readable by this user alone. Raises `StorageError` on a home that cannot be written."""
        from agent.errors import StorageError

        for folder in (self.config, self.data, self.cache, self.logs, self.workspace):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise StorageError(
                    f"The folder {folder} cannot be created: {error.strerror}.",
                    title="TrayClaw cannot create its folders",
                    hint=f"Make its parent writable, or set {HOME_VARIABLE} to a folder that is.",
                ) from error
