"""The settings: pydantic models read from and written to config.toml, the person's comments kept. No secrets."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agent.errors import ConfigError

log = logging.getLogger(__name__)

STARTER = "starter"
SERVER_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
"""Of an MCP server: it becomes a part of the names of its tools."""
MailSecurity = Literal["tls", "starttls", "none"]
SafetyMode = Literal["careful", "balanced", "autonomous"]
QueueMode = Literal["queue", "steer", "collect", "interrupt"]


class Section(BaseModel):
    """A table of config.toml. Unknown keys are a mistake that is named, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    default: str = STARTER
    """`provider/model`, or "starter" for the built-in one."""
    fallback: tuple[str, ...] = ()
    """Tried in this order when the default fails."""
    background: str = ""
    """For work that nobody waits for, such as summaries of long conversations; empty for the conversation's own."""
    titles: str = ""
    """Gives new conversations their titles; empty: they are called by their first words, which costs nothing."""
    aliases: Mapping[str, str] = Field(default_factory=dict)
    """Short names of your own: fast = "groq/openai/gpt-oss-120b"."""
    history_messages: int = Field(default=80, ge=4, le=2000)
    """How many recent messages of a conversation a model is shown at most."""


class ProviderSettings(Section):
    protocol: Literal["chat-completions", "anthropic-messages", "responses", "gemini"] | None = None
    """Of a provider of the catalogue: its own where nothing is set; of any other: "chat-completions"."""
    base_url: str = ""
    """Empty for a provider of the catalogue."""
    headers: Mapping[str, str] = Field(default_factory=dict)
    """Sent with every request. Not for keys."""
    query: Mapping[str, str] = Field(default_factory=dict)
    """Added to the address of every request."""
    body: Mapping[str, Any] = Field(default_factory=dict)
    """Added to the JSON object of every request for an answer."""


class StarterSettings(Section):
    model_path: str = ""
    """A GGUF file; empty for the tiny model that comes along."""
    idle_seconds: float = Field(default=300.0, gt=0)
    """Unloaded from memory after this time without a question."""
    context_tokens: int = Field(default=4096, ge=512)


class ChannelSettings(Section):
    enabled: bool = False
    """Started with the app."""
    owners: tuple[int | str, ...] = ()
    """Immutable ids of the people who own this agent, as the service writes them."""
    group_mention: bool = True
    """In groups only messages that mention the agent, reply to it or are a command are answered."""


class TelegramSettings(ChannelSettings):
    owners: tuple[int, ...] = ()
    """Numeric ids of users."""
    api_base: str = "https://api.telegram.org"
    """A self-hosted Bot API server works."""


class DiscordSettings(ChannelSettings):
    owners: tuple[int, ...] = ()
    """User ids (snowflakes)."""
    api_base: str = "https://discord.com/api/v10"
    gateway_url: str = "wss://gateway.discord.gg/"


class SlackSettings(ChannelSettings):
    owners: tuple[Annotated[str, Field(pattern=r"^[UW][A-Z0-9]+$")], ...] = ()
    """Member ids ("U012AB3CD")."""
    api_base: str = "https://slack.com/api/"


class EmailSettings(ChannelSettings):
    """A mailbox of the agent's own. The password is the key `email`, a refresh token of OAuth2 `email-oauth`."""

    owners: tuple[str, ...] = ()
    """Addresses of the people who own this agent."""
    allowed_senders: tuple[str, ...] = ()
    """Addresses of others who are answered; nobody else is."""
    consent: bool = False
    """Mails are read and answered only when this was switched on."""
    username: str = ""
    """Of the mailbox; most often its address."""
    address: str = ""
    """What answers are sent from; empty for the user name."""
    display_name: str = "TrayClaw"
    imap_host: str = ""
    imap_port: int = Field(default=993, ge=1, le=65535)
    imap_security: MailSecurity = "tls"
    """"none" is taken only for a server on this computer."""
    smtp_host: str = ""
    smtp_port: int = Field(default=465, ge=1, le=65535)
    smtp_security: MailSecurity = "tls"
    folder: str = "INBOX"
    poll_seconds: float = Field(default=60.0, ge=5, le=3600)
    """How often a server without IDLE is asked for new mail."""
    authentication_results: str = ""
    """The name of your provider in the header Authentication-Results ("mx.google.com"). Empty: only such headers count
    that stand above all others of the way here."""
    auth: Literal["password", "xoauth2"] = "password"
    oauth_token_url: str = ""
    """Where a refresh token becomes an access token (https)."""
    oauth_client_id: str = ""
    oauth_scope: str = ""

    @field_validator("owners", "allowed_senders", mode="after")
    @classmethod
    def _addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if not re.fullmatch(r"[^@\s<>\",;:]+@[^@\s<>\",;:]+", address.strip()):
                raise ValueError(f"{address!r} is not an e-mail address")
        return tuple(address.strip().lower() for address in addresses)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        for host, security in ((self.imap_host, self.imap_security), (self.smtp_host, self.smtp_security)):
            if security == "none" and host not in ("localhost", "127.0.0.1", "::1"):
                raise ValueError(f'the connection to {host or "the server"} must be encrypted ("tls" or "starttls")')
        return self


class ChannelsSettings(Section):
    telegram: TelegramSettings = TelegramSettings()
    discord: DiscordSettings = DiscordSettings()
    slack: SlackSettings = SlackSettings()
    email: EmailSettings = EmailSettings()


class LimitSettings(Section):
    daily_usd: float | None = Field(default=None, ge=0)
    monthly_usd: float | None = Field(default=None, ge=0)


class BudgetSettings(Section):
    """Limits in USD; a call whose estimate does not fit is not made. A day and a month are those of local time."""

    daily_usd: float = Field(default=5.0, ge=0)
    monthly_usd: float = Field(default=50.0, ge=0)
    conversation: LimitSettings = LimitSettings()
    """Of each single conversation."""
    channels: Mapping[str, LimitSettings] = Field(default_factory=dict)
    """Of all conversations of a channel together: [budget.channels.telegram]."""


class PriceSettings(Section):
    """USD for a million tokens, in place of the price table: [prices."provider/model"]."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float | None = Field(default=None, ge=0)
    """As input where nothing is set."""
    cache_write: float | None = Field(default=None, ge=0)
    """As input where nothing is set."""


class NetworkSettings(Section):
    proxy: str = ""
    """http://, https:// or socks5://; empty for the system's own."""
    ca_file: str = ""
    """Certificates (PEM) to trust besides those of the system, for a company's proxy or a server of your own."""


class FolderSettings(Section):
    path: str
    write: bool = False


class SafetySettings(Section):
    mode: SafetyMode = "balanced"
    approval_seconds: float = Field(default=600.0, gt=0)
    """A question that nobody answers within this time is denied."""
    sandbox: Literal["auto", "off"] = "auto"
    """"off" runs programs without a fence; then every command asks."""
    folders: tuple[FolderSettings, ...] = ()
    """Folders besides the workspace: [[safety.folders]] path = "~/Documents", write = false."""


class TurnSettings(Section):
    max_steps: int = Field(default=40, ge=1)
    """Model calls in one turn."""
    max_seconds: float = Field(default=1800.0, gt=0)
    """Time of one turn, without the waits for approvals."""
    queue: QueueMode = "queue"
    """What a message does that comes while another of its conversation is worked on: "queue" (waits), "steer" (is
    given to the model at the next step), "collect" (is answered with the others that wait), "interrupt" (ends it)."""
    tool_output_chars: int = Field(default=30_000, ge=1000)
    """What a model is shown of one tool result at most."""
    subagent_steps: int = Field(default=20, ge=1)
    """Model calls of one subagent at most; never more than its turn has left."""
    subagent_usd: float = Field(default=0.50, gt=0)
    """What one subagent may cost at most; the limits of the budget count besides."""


class AudioSettings(Section):
    transcribe: str = ""
    """`provider/model` that turns voice messages into text, "groq/whisper-large-v3-turbo" for example; empty: they are
    only stored."""


class ToolsSettings(Section):
    workspace: str = ""
    """Folder that tools work in; empty for the default (~/TrayClaw)."""
    command_seconds: float = Field(default=120.0, gt=0)
    """Time-out of a command that asks for none."""


class WebSettings(Section):
    search: Literal["ddgs", "brave", "tavily", "searxng"] = "ddgs"
    """Who is asked by web_search; Brave and Tavily need a key (`trayclaw keys set brave`)."""
    searxng_url: str = ""
    """Address of a SearXNG server of your own."""


class McpServerSettings(Section):
    """A server of outside tools: [mcp.NAME]. Either `command` (started here) or `url` (streamable HTTP)."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict)
    """Not for keys: write `keyring:NAME` as a value and store the key by `trayclaw keys set NAME`."""
    url: str = ""
    headers: Mapping[str, str] = Field(default_factory=dict)
    """As `env`."""
    enabled: bool = True
    network: bool = False
    """Whether the started program may use the network."""
    seconds: float = Field(default=60.0, gt=0)
    """Time-out of one call."""


class UndoSettings(Section):
    file_mb: float = Field(default=50.0, ge=0)
    """Larger files are not kept for undo; the receipt says so."""
    total_mb: float = Field(default=1000.0, ge=0)
    """All that is kept for undo together; the oldest goes first."""
    days: int = Field(default=30, ge=0)
    """Older images are removed."""


class DesktopSettings(Section):
    theme: Literal["system", "light", "dark"] = "system"
    close_to_tray: bool = True
    text_percent: int = Field(default=100, ge=80, le=200)
    welcomed: bool = False
    """The first-run page was seen."""


class Settings(Section):
    """The whole of config.toml."""

    model: ModelSettings = ModelSettings()
    providers: Mapping[str, ProviderSettings] = Field(default_factory=dict)
    starter: StarterSettings = StarterSettings()
    network: NetworkSettings = NetworkSettings()
    prices: Mapping[str, PriceSettings] = Field(default_factory=dict)
    channels: ChannelsSettings = ChannelsSettings()
    budget: BudgetSettings = BudgetSettings()
    safety: SafetySettings = SafetySettings()
    turn: TurnSettings = TurnSettings()
    tools: ToolsSettings = ToolsSettings()
    audio: AudioSettings = AudioSettings()
    web: WebSettings = WebSettings()
    mcp: Mapping[str, McpServerSettings] = Field(default_factory=dict)
    undo: UndoSettings = UndoSettings()
    desktop: DesktopSettings = DesktopSettings()

    @field_validator("mcp")
    @classmethod
    def _server_names(cls, servers: Mapping[str, McpServerSettings]) -> Mapping[str, McpServerSettings]:
        for name in servers:
            if not re.fullmatch(SERVER_NAME, name):
                raise ValueError(f"a server name is up to 32 letters, digits, dashes and underscores, not {name!r}")
        return servers

    @field_validator("providers")
    @classmethod
    def _provider_names(cls, providers: Mapping[str, ProviderSettings]) -> Mapping[str, ProviderSettings]:
        for name in providers:
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
                raise ValueError(f"a provider name is lower case letters, digits and dashes, not {name!r}")
        return providers


class SettingsFile:
    """config.toml on disk. All methods block: call them from a thread when a loop is running."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Settings:
        """Read the file; a missing one is all defaults. Raises `ConfigError` with line and column; never writes."""
        import tomllib

        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return Settings()
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode("utf-8")
            place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
            hint = "Save it as UTF-8; the file was left as it is."
            raise ConfigError(f"{self.path}:{place}: this is not UTF-8 text.", hint=hint) from error
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be read: {error.strerror}.", hint="Make it readable or move it away."
            ) from error
        try:
            return self._validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(
                f"{self.path}: {error}.", hint="Correct that place; the file was left as it is."
            ) from error

    def set(self, values: Mapping[str, Any]) -> Settings:
        """Write dotted keys, `None` to remove one; comments stay. Raises `ConfigError`; then nothing changed."""
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            text = self.path.read_text(encoding="utf-8-sig") if self.path.exists() else ""
            document = tomlkit.parse(text)
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise ConfigError(f"{self.path}: {error}.", hint="Correct the file first; it was left as it is.") from error
        for key, value in values.items():
            _assign(document, key.split("."), value)
        settings = self._validate(document.unwrap())
        self._replace(tomlkit.dumps(document))
        return settings

    def _validate(self, values: Mapping[str, Any]) -> Settings:
        try:
            return Settings.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            place = _line_of(self.path, [str(part) for part in first["loc"]])
            message = first["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
            if first["type"] == "extra_forbidden":
                message = "there is no such setting"
            raise ConfigError(
                f"{self.path}{place}: {key}: {message}.", hint="Correct that line; the file was left as it is."
            ) from error

    def _replace(self, text: str) -> None:
        """Write beside the file and rename, so that a full disk or a crash leaves the old one whole."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".config-", suffix=".toml")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _unwritable(self.path, error) from error


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written: {error.strerror}.",
        title="The settings could not be saved",
        hint="Free some space or make the folder writable; the old settings are untouched.",
    )


def _assign(table: Any, keys: list[str], value: Any) -> None:
    import tomlkit

    for key in keys[:-1]:
        if key not in table:
            if value is None:
                return
            table[key] = tomlkit.table()
        table = table[key]
        if not isinstance(table, Mapping):
            raise ConfigError(f"{key} is a value, not a table.", hint="See `trayclaw config show`.")
    if value is None:
        table.pop(keys[-1], None)
    else:
        table[keys[-1]] = list(value) if isinstance(value, tuple) else value


def _line_of(path: Path, keys: list[str]) -> str:
    """`:LINE:COLUMN` of a key, as well as a text search can tell; empty when it cannot."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    table = ""
    best = ""
    for number, line in enumerate(lines, start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if header:
            table = header[1]
            if table == ".".join(keys):
                best = f":{number}:{line.index('[') + 1}"
            continue
        entry = re.match(r"(\s*)([\w.\"'-]+)\s*=", line)
        if entry:
            name = f"{table}.{entry[2]}" if table else entry[2]
            if ".".join(keys) == name or ".".join(keys).startswith(name + "."):
                return f":{number}:{len(entry[1]) + 1}"
    return best
