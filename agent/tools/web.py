"""Tools for the web: search it, and read a page."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.errors import ToolError
from agent.providers.types import Image
from agent.safety.effects import Effect, one_line, visible
from agent.safety.web_client import Fetched, WebClient
from agent.tools.documents import document_text
from agent.tools.tool import Outcome, Tool, ToolContext, tool
from agent.tools.web_page import as_markdown
from agent.tools.web_search import HOSTS, Key, search

if TYPE_CHECKING:
    from agent.settings import Settings

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_LARGEST_IMAGE = 4_000_000
_MOST_HITS = 20


def web_tools(settings: Callable[[], Settings], key: Key, client: WebClient) -> tuple[Tool, ...]:
    """The tools. `key` finds the key of a search engine by its name."""

    def describe_fetch(context: ToolContext, url: str, offset: int = 0) -> Effect:
        host = _host(url)
        return Effect(
            "fetch",
            f"Read {one_line(url, 60)}",
            hosts=(host,),
            addresses=(url,),
            title="Read a web page?",
            action=visible(url) + _both_ways(host),
        )

    @tool("fetch", describe_fetch, seconds=60.0)
    async def web_fetch(context: ToolContext, url: str, offset: int = 0) -> Outcome:
        """Read a web page, PDF or JSON document as Markdown.

        Args:
            url: Full address.
            offset: Characters to skip, to go on in a long page.
        """
        page = await client.get(url)
        kind = page.content_type.partition(";")[0].strip().lower()
        source = f"the web page {_short(page.url)}"
        if page.status >= 400:
            return Outcome(f"HTTP {page.status} at {page.url}", ok=False, detail={"status": page.status}, source=source)
        if kind in _IMAGES:
            return _image(page, kind, source)
        if kind == "application/pdf" or page.body.startswith(b"%PDF-"):
            text = await document_text(page.body, "pdf")
            return Outcome(_paged(text, page, max(offset, 0), context.max_chars - 500), source=source)
        text = await asyncio.to_thread(as_markdown, page.body, page.content_type, page.url)
        return Outcome(_paged(text, page, max(offset, 0), context.max_chars - 500), source=source)

    def describe_search(context: ToolContext, query: str, count: int = 5) -> Effect:
        engine = settings().web
        host = HOSTS.get(engine.search) or _host(engine.searxng_url or "http://searxng")
        return Effect(
            "fetch",
            f"Search the web for {one_line(query, 50)}",
            hosts=(host,),
            title="Search the web?",
            action=f"{visible(query)}\n\nat {host}",
        )

    @tool("fetch", describe_search, seconds=60.0)
    async def web_search(context: ToolContext, query: str, count: int = 5) -> Outcome:
        """Search the web: titles, addresses and snippets.

        Args:
            query: Words to search for.
            count: Number of results.
        """
        hits = await search(query, min(max(count, 1), _MOST_HITS), settings(), key)
        if not hits:
            return Outcome("Nothing was found.")
        lines = [f"{number}. {hit.title}\n   {hit.url}\n   {hit.text}" for number, hit in enumerate(hits, start=1)]
        return Outcome("\n".join(lines), source="web search results")

    return web_fetch, web_search


def _paged(text: str, page: Fetched, offset: int, room: int) -> str:
    shown = text[offset : offset + room]
    if offset and not shown:
        raise ToolError(f"The page has {len(text):,} characters; there is nothing from {offset:,} on.")
    end = offset + len(shown)
    head = f"{page.url}\n\n" if not offset else ""
    if end < len(text):
        return f"{head}{shown}\n\n(characters {offset:,}-{end:,} of {len(text):,}; go on with offset={end})"
    return head + shown + ("\n\n(the page is longer than is read)" if page.cut else "")


def _image(page: Fetched, kind: str, source: str) -> Outcome:
    if len(page.body) > _LARGEST_IMAGE or page.cut:
        raise ToolError(f"The picture has more than {_LARGEST_IMAGE:,} bytes.")
    picture = Image(kind, page.body)
    return Outcome(f"A picture ({kind}, {len(page.body):,} bytes).", source=source, images=(picture,))


def _both_ways(host: str) -> str:
    """A host in other letters than the plain ones as the network knows it and as people read it; else nothing."""
    folded = unicodedata.normalize("NFKC", host).lower()
    try:
        sent, read = folded.encode("idna").decode(), folded.encode("idna").decode("idna")
    except UnicodeError:
        return ""  # no name that can be looked up: the request will say so
    if sent != read:
        return f"\n\n{sent} is {read}"
    return "" if sent == host.lower() else f"\n\nThe host is read as {sent}"


def _host(url: str) -> str:
    try:
        host = urlsplit(url.strip()).hostname
    except ValueError as error:
        raise ToolError(f"This is no address: {error}.") from error
    if not host:
        raise ToolError("Give a full address with http:// or https://.")
    return visible(host)


def _short(url: str) -> str:
    parts = urlsplit(url)
    return one_line(f"{parts.hostname}{parts.path}", 80)
