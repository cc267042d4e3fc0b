"""`trayclaw config`: where the settings are, what they are, change one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.settings import Settings


def group() -> typer.Typer:
    """The commands."""
    app = noun("Show and change the settings.")

    @app.command()
    def path() -> None:
        """Print where config.toml is."""
        from agent.paths import Paths

        print(Paths.locate().config_file)

    @app.command()
    def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
        """Print all settings, those that were never changed included."""
        values = _load().model_dump(mode="json", exclude_none=not as_json)  # TOML has no word for "none"
        if as_json:
            print(json.dumps(values, indent=2, ensure_ascii=False))
        else:
            import tomlkit

            print(tomlkit.dumps(values), end="")

    @app.command()
    def get(key: Annotated[str, typer.Argument(help="For example model.default.")]) -> None:
        """Print one setting."""
        value = _find(_load(), key)
        print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

    @app.command("set")
    def set_(
        key: Annotated[str, typer.Argument(help="For example model.default.")],
        value: Annotated[str, typer.Argument(help="A text, or a TOML value: true, 2.5, [4242].")] = "",
        default: Annotated[bool, typer.Option("--default", help="Back to the default value.")] = False,
    ) -> None:
        """Change one setting; comments in the file stay."""
        _change(key, None if default else value)

    return app


def _load() -> Settings:
    from agent.paths import Paths
    from agent.settings import SettingsFile

    return SettingsFile(Paths.locate().config_file).load()


def _find(settings: Settings, key: str) -> Any:
    value: Any = settings.model_dump(mode="json")
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            from agent.errors import UsageError

            raise UsageError(f"There is no setting {key}.", hint="`trayclaw config show` lists them all.")
        value = value[part]
    return value


def _change(key: str, text: str | None) -> None:
    from agent.cli.running import note_for_running
    from agent.errors import ConfigError
    from agent.paths import Paths
    from agent.settings import SettingsFile

    paths = Paths.locate()
    file = SettingsFile(paths.config_file)
    value = None if text is None else _parsed(text)
    try:
        settings = file.set({key: value})
    except ConfigError:
        if value is None or isinstance(value, str):
            raise
        settings = file.set({key: text})  # a text that looks like a number
    print(f"{key} = {_shown(settings, key)}")
    if note := note_for_running(paths):
        print(note)


def _parsed(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _shown(settings: Settings, key: str) -> str:
    from agent.errors import UsageError

    try:
        return json.dumps(_find(settings, key), ensure_ascii=False)
    except UsageError:  # a provider's table that was just removed
        return "(removed)"
