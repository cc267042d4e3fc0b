"""The manifest from which Slack makes the app: its permissions, its events, its one slash command."""

from __future__ import annotations

import json
from typing import Any, Final

from agent.channels.slack_inbound import COMMAND

MANIFEST: Final[dict[str, Any]] = {
    "display_information": {"name": "TrayClaw", "description": "A personal assistant that runs on your computer"},
    "features": {
        "app_home": {"messages_tab_enabled": True, "messages_tab_read_only_enabled": False},
        "bot_user": {"display_name": "TrayClaw", "always_online": False},
        "assistant_view": {"assistant_description": "Asks, answers and works on your computer"},
        "slash_commands": [
            {
                "command": COMMAND,
                "description": "Commands of TrayClaw, in the direct chat with it",
                "usage_hint": "help | new | stop | status",
                "should_escape": False,
            }
        ],
    },
    "oauth_config": {
        "scopes": {
            "bot": [
                "app_mentions:read",
                "assistant:write",
                "channels:history",
                "channels:read",
                "chat:write",
                "commands",
                "files:read",
                "files:write",
                "groups:history",
                "groups:read",
                "im:history",
                "im:read",
                "im:write",
                "mpim:history",
                "mpim:read",
                "reactions:write",
                "users:read",
            ]
        }
    },
    "settings": {
        "event_subscriptions": {
            "bot_events": [
                "app_mention",
                "assistant_thread_started",
                "message.channels",
                "message.groups",
                "message.im",
                "message.mpim",
            ]
        },
        "interactivity": {"is_enabled": True},
        "org_deploy_enabled": False,
        "socket_mode_enabled": True,
        "token_rotation_enabled": False,
    },
}


def manifest() -> str:
    """As Slack takes it at api.slack.com/apps > Create New App > From a manifest."""
    return json.dumps(MANIFEST, indent=2)
