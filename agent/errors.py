"""Every error that TrayClaw raises on purpose.

TrayClawError
├── ConfigError              config.toml cannot be read or a value in it is wrong          exit 2
├── UsageError               a command or a call was asked for something that is not there exit 2
├── StorageError             the database cannot be read or written                        exit 1
├── SecretError              a key cannot be read or stored                                exit 2
│   ├── KeyringLockedError   the keyring exists and is locked
│   └── NoKeyringError       this machine has no keyring
├── ProviderError            a model could not answer                                      exit 4
├── RefusedError             policy or a limit said no                                     exit 3
│   ├── PolicyRefusedError   the policy or a person denied a tool call
│   └── BudgetExceededError  the spending limit is reached
├── TurnStoppedError         a person stopped the turn                                     exit 5
├── TurnLimitError           a turn ran into its limit of steps or time                    exit 1
├── ToolError                a tool failed; its short text goes to the model
│   ├── ToolArgumentsError   the arguments do not fit the tool's schema
│   ├── EditError            an edit cannot be applied unambiguously
│   ├── SkillError           a skill's folder cannot be used as it is
│   └── SandboxError         a program cannot be fenced in and was not started
│       └── UnfencedError    there is no fence, and nobody has allowed to do without
├── DownloadError            a model file cannot be downloaded                             exit 4
├── BlockedAddressError      an address that no tool may reach
├── CronError                a schedule that cannot be understood
└── ChannelError             a channel cannot connect or deliver

What a person sees of an error is `title` (what), `str(error)` (what happened) and `hint` (what to do next).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from agent.views import LimitView

ProviderErrorKind = Literal[
    "auth",
    "permission",
    "quota",
    "rate_limit",
    "overloaded",
    "context_length",
    "invalid_request",
    "not_found",
    "too_large",
    "content_filter",
    "server",
    "timeout",
    "network",
    "bad_response",
]


class TrayClawError(Exception):
    """Base of all; an unexpected failure is anything that is not one of these."""

    kind: str = "error"
    title: str = "Something went wrong"
    exit_code: int = 1

    def __init__(self, message: str = "", *, title: str | None = None, hint: str = "") -> None:
        super().__init__(message or title or self.title)
        if title is not None:
            self.title = title
        self.hint = hint


class ConfigError(TrayClawError):
    """config.toml cannot be read, or a value in it is wrong. The message names line and column where known."""

    kind = "config"
    title = "The settings file has a mistake"
    exit_code = 2


class UsageError(TrayClawError):
    """Something was asked for that does not exist: an unknown provider, channel, conversation, key."""

    kind = "usage"
    title = "That does not exist"
    exit_code = 2


class StorageError(TrayClawError):
    """The database cannot be opened, read or written.

    `retryable`: the same may succeed later, once there is space again or the other program lets go.
    """

    kind = "storage"
    title = "TrayClaw cannot use its database"

    def __init__(self, message: str = "", *, title: str | None = None, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message, title=title, hint=hint)
        self.retryable = retryable


class SecretError(TrayClawError):
    """A key cannot be read or stored."""

    kind = "secret"
    title = "The key could not be read or stored"
    exit_code = 2


class KeyringLockedError(SecretError):
    """The keyring exists and is locked."""

    kind = "keyring_locked"
    title = "The keyring is locked"


class NoKeyringError(SecretError):
    """This machine offers no keyring."""

    kind = "no_keyring"
    title = "This computer has no keyring"


class ProviderError(TrayClawError):
    """A model could not answer.

    `retryable` says whether the same request may succeed later; `retry_after` is the provider's own wish in seconds.
    """

    kind: ProviderErrorKind
    title = "The model could not answer"
    exit_code = 4
    answering = False
    """The provider had accepted the request, and failed while it answered."""
    reached = False
    """The request was sent and no answer came in time: the provider may have worked for it."""

    def __init__(
        self,
        kind: ProviderErrorKind,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
        provider: str = "",
        title: str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, title=title, hint=hint)
        self.kind = kind
        self.retryable = retryable
        self.retry_after = retry_after
        self.status = status
        self.provider = provider


class RefusedError(TrayClawError):
    """Policy or a limit said no."""

    kind = "refused"
    title = "Not allowed"
    exit_code = 3


class PolicyRefusedError(RefusedError):
    """The policy or a person denied a tool call."""

    kind = "policy"


class BudgetExceededError(RefusedError):
    """The daily or monthly spending limit is reached."""

    kind = "budget"
    title = "The spending limit is reached"

    def __init__(self, message: str = "", *, hint: str = "", limit: LimitView | None = None) -> None:
        super().__init__(message, hint=hint)
        self.limit = limit
        """The one that was reached."""


class TurnStoppedError(TrayClawError):
    """A person stopped the turn."""

    kind = "stopped"
    title = "Stopped"
    exit_code = 5


class TurnLimitError(TrayClawError):
    """A turn ran into its limit of steps or time."""

    kind = "turn_limit"
    title = "This took too long"


class ToolError(TrayClawError):
    """A tool failed. The message is short and factual: the model reads it."""

    kind = "tool"
    title = "A tool failed"


class ToolArgumentsError(ToolError):
    """The arguments of a tool call do not fit its schema."""

    kind = "tool_arguments"


class EditError(ToolError):
    """An edit cannot be applied: nothing to replace, or more than one place."""

    kind = "edit"


class SkillError(ToolError):
    """A skill's folder cannot be used as it is; the message completes "the skill cannot be used: ..."."""

    kind = "skill"
    title = "This skill cannot be used"


class SandboxError(ToolError):
    """The fence cannot be put up; the program was not started."""

    kind = "sandbox"
    title = "The command could not be fenced in"


class UnfencedError(SandboxError):
    """There is no fence here, and nobody has allowed to start the program without one."""

    kind = "unfenced"
    title = "There is no sandbox for this program"


class DownloadError(TrayClawError):
    """A model file cannot be downloaded, or is not what was published."""

    kind = "download"
    title = "The download failed"
    exit_code = 4


class BlockedAddressError(TrayClawError):
    """An address that no tool may reach."""

    kind = "blocked_address"
    title = "This address is not reachable for tools"


class CronError(TrayClawError):
    """A schedule that cannot be understood."""

    kind = "cron"
    title = "This schedule cannot be understood"


ChannelErrorKind = Literal["wrong_token", "conflict", "forbidden", "not_found", "rejected", "rate_limit", "network"]


class ChannelError(TrayClawError):
    """A channel cannot connect or deliver. Only `rate_limit` and `network` are worth another try.

    `uncertain`: the connection broke after the message was handed over, so it may have arrived.
    """

    kind: ChannelErrorKind
    title = "The channel does not work"

    def __init__(
        self,
        kind: ChannelErrorKind,
        message: str,
        *,
        retry_after: float | None = None,
        uncertain: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.retry_after = retry_after
        self.uncertain = uncertain

    @property
    def retryable(self) -> bool:
        """Whether the same attempt may succeed later."""
        return self.kind in ("rate_limit", "network")
