"""What Slack's events mean to the agent: a person's text, an edit, a button, a command.

A conversation is a direct chat ("D012AB3CD") or a thread ("C012AB3CD:1700000000.000100"). A message at the top of a
channel is a thread that only has its first message yet; the answer goes below it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from agent.channels.channel import Inbound

COMMAND = "/trayclaw"
"""The one slash command of the app: `/trayclaw stop` is /stop. Names such as /new could be another app's, and Slack
keeps those that it does not know from being sent at all; "@TrayClaw /stop" and " /stop" behind a space are sent."""

_SPOKEN = ("", "file_share", "thread_broadcast", "me_message", "bot_message")
"""Subtypes that are somebody's message; the others tell of joins, topics, pins."""
_REFERENCE = re.compile(r"<([^<>]*)>")
_TIME = re.compile(r"\d+\.\d+")

Event = Mapping[str, Any]


class Found(NamedTuple):
    """A message whose references and files are still to be resolved. `ts` is its place in Slack's time."""

    inbound: Inbound
    channel: str
    thread: str
    ts: str
    files: tuple[Event, ...] = ()


def place(chat_id: str) -> tuple[str, str]:
    """The channel and the thread (empty for none) of a conversation."""
    channel, _, thread = chat_id.partition(":")
    return channel, thread


def message_at(transport_id: str) -> tuple[str, str] | None:
    """The channel and the `ts` of a message, also of an edit of it; None for what is no message."""
    parts = transport_id.split(":")
    return (parts[0], parts[1]) if len(parts) > 1 and _TIME.fullmatch(parts[1]) else None


def from_message(event: Event, user_id: str, bot_id: str) -> Found | None:
    """A `message` or `app_mention`, or one of a conversation's history with its "channel" added; None for all that
    nobody said and for the bot's own. `user_id` and `bot_id` are the bot's."""
    edits = ""
    channel, message = str(event.get("channel") or ""), event
    if event.get("subtype") == "message_changed":
        message = event.get("message") or {}
        before = event.get("previous_message") or {}
        if not message.get("edited") or message.get("text") == before.get("text"):
            return None  # a preview was added, a reply was counted
        edits = f"{channel}:{message.get('ts')}"
    sender = str(message.get("user") or message.get("bot_id") or "")
    ts = str(message.get("ts") or "")
    if not (channel and sender and ts) or (message.get("subtype") or "") not in _SPOKEN:
        return None
    if sender == user_id or (bot_id and message.get("bot_id") == bot_id):
        return None
    thread = str(message.get("thread_ts") or "")
    thread = "" if thread == ts else thread
    direct = channel.startswith("D")
    text = str(message.get("text") or "").replace("\0", "")
    mention = re.compile(rf"<@{re.escape(user_id)}(?:\|[^<>]*)?>")
    inbound = Inbound(
        channel="slack",
        transport_id=f"{edits}:{message['edited'].get('ts', '')}" if edits else f"{channel}:{ts}",
        chat_id=_conversation(channel, thread, ts),
        sender_id=sender,
        sender_name=str((message.get("bot_profile") or {}).get("name") or message.get("username") or ""),
        text=re.sub(rf"^\s*{mention.pattern}[\s,:]*", "", text),
        direct=direct,
        sent_at=float(ts),
        group_id="" if direct else channel,
        addressed=direct or mention.search(text) is not None or message.get("parent_user_id") == user_id,
        bot=bool(message.get("bot_id")) or message.get("subtype") == "bot_message",
        edits=edits,
    )
    return Found(inbound, channel, thread, ts, () if edits else tuple(message.get("files") or ()))


def from_press(payload: Event) -> Found | None:
    """A button of ours that was pressed."""
    actions = payload.get("actions") or ()
    channel = str((payload.get("channel") or {}).get("id") or "")
    sender = str((payload.get("user") or {}).get("id") or "")
    message = payload.get("message") or {}
    ts = str(message.get("ts") or (payload.get("container") or {}).get("message_ts") or "")
    if payload.get("type") != "block_actions" or not (actions and channel and sender and ts):
        return None
    command = str(actions[0].get("value") or "")
    if actions[0].get("type") != "button" or not command:
        return None
    thread = str(message.get("thread_ts") or (payload.get("container") or {}).get("thread_ts") or "")
    inbound = Inbound(
        channel="slack",
        transport_id=f"{channel}:{ts}:{actions[0].get('action_ts', '')}:{sender}",
        chat_id=_conversation(channel, "" if thread == ts else thread, ts),
        sender_id=sender,
        sender_name="",
        text=command,
        direct=channel.startswith("D"),
        sent_at=float(actions[0].get("action_ts") or ts),
        group_id="" if channel.startswith("D") else channel,
        pressed=True,
    )
    return Found(inbound, channel, thread, ts)


def from_command(payload: Event, last: Mapping[str, str]) -> Found | None:
    """`/trayclaw WORDS` in a direct chat, for the conversation there in which the person wrote last. Slack never tells
    the thread, so elsewhere nobody knows what is meant: None."""
    channel, sender = str(payload.get("channel_id") or ""), str(payload.get("user_id") or "")
    if not channel.startswith("D") or not sender:
        return None
    words = html.unescape(str(payload.get("text") or "")).replace("\0", "").strip()
    inbound = Inbound(
        channel="slack",
        transport_id=f"{channel}:command:{payload.get('trigger_id', '')}",
        chat_id=last.get(channel, channel),
        sender_id=sender,
        sender_name="",
        text=f"/{words.lstrip('/') or 'help'}",
    )
    return Found(inbound, channel, "", "")


def people_in(text: str) -> set[str]:
    """Ids of the people whom a text mentions without their names."""
    return {inner[1:] for inner in _REFERENCE.findall(text) if inner[:1] == "@" and "|" not in inner}


def readable(text: str, names: Mapping[str, str]) -> str:
    """Slack's references as a person would write them, its escapes undone."""
    shown = _REFERENCE.sub(lambda match: _reference(match[1], names), text)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def _reference(inner: str, names: Mapping[str, str]) -> str:
    target, _, label = inner.partition("|")
    match target[:1]:
        case "@":
            return f"@{label or names.get(target[1:], target[1:])}"
        case "#":
            return f"#{label or target[1:]}"
        case "!":
            word = target[1:].partition("^")[0]
            return label or (f"@{word}" if word in ("here", "channel", "everyone") else f"@{target[1:]}")
    if target.startswith(("mailto:", "tel:")):
        return label or target.partition(":")[2]
    bare = target.partition("://")[2].rstrip("/")
    return f"{label} ({target})" if label and label.rstrip("/") not in (target.rstrip("/"), bare) else target


def _conversation(channel: str, thread: str, ts: str) -> str:
    if thread or not channel.startswith("D"):
        return f"{channel}:{thread or ts}"
    return channel
