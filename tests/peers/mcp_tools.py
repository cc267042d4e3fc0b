"""An MCP server made with the official library: `python -m tests.peers.mcp_tools` speaks over stdin and stdout."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.utilities.types import Image

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def server() -> MCPServer:
    """Tools of every kind."""
    made = MCPServer("peer", version="1.0")

    @made.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @made.tool()
    def weather(city: str) -> dict[str, Any]:
        """Tell the weather of a city."""
        return {"city": city, "degrees": 21, "wind": {"from": "west"}}

    @made.tool()
    def refuse() -> str:
        """Always fail."""
        raise ValueError("there is no such invoice")

    @made.tool()
    def picture() -> Image:
        """Give a picture."""
        return Image(data=PIXEL, format="png")

    @made.tool()
    def link() -> types.ResourceLink:
        """Give a link to a resource."""
        return types.ResourceLink(name="report", uri="file:///reports/may.pdf", mime_type="application/pdf")

    @made.tool()
    async def slow(seconds: float) -> str:
        """Wait."""
        await asyncio.sleep(seconds)
        return "waited"

    @made.tool()
    def write(path: str, text: str) -> str:
        """Write a file."""
        try:
            Path(path).write_text(text)
        except OSError as error:
            return f"refused: {error.strerror}"
        return "written"

    @made.tool()
    def variable(name: str) -> str:
        """Tell an environment variable."""
        return os.environ.get(name, "(not set)")

    @made.tool()
    def reach(port: int) -> str:
        """Connect to this computer."""
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return "not reached"
        return "reached"

    @made.tool()
    def die() -> str:
        """End the server at once."""
        os._exit(7)

    @made.tool()
    async def learn(context: Context) -> str:
        """Learn one more tool, and tell that there is one."""

        def subtract(a: int, b: int) -> int:
            """Take one number from another."""
            return a - b

        made.add_tool(subtract)
        await context.session.send_tool_list_changed()
        await context.notify_tools_changed()
        return "learned"

    return made


if __name__ == "__main__":
    server().run("stdio")
