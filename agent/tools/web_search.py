"""Search engines: DuckDuckGo and others without a key through ddgs; Brave, Tavily and SearXNG by their interfaces."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urljoin, urlsplit

from agent.errors import ToolError
from agent.providers.http import Timeouts, open_client

if TYPE_CHECKING:
    from agent.settings import Settings

SECONDS = 20.0
PLAIN_PAGE = "https://html.duckduckgo.com/html/"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOSTS = {"brave": "api.search.brave.com", "tavily": "api.tavily.com", "ddgs": "duckduckgo.com"}

Key = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Hit:
    """One result."""

    title: str
    url: str
    text: str


async def search(query: str, count: int, settings: Settings, key: Key) -> list[Hit]:
    """Ask the engine of the settings. Raises `ToolError`."""
    try:
        async with asyncio.timeout(SECONDS):
            match settings.web.search:
                case "brave":
                    return await _brave(query, count, settings, await _key(key, "brave"))
                case "tavily":
                    return await _tavily(query, count, settings, await _key(key, "tavily"))
                case "searxng":
                    return await _searxng(query, count, settings)
                case _:
                    return await _without_a_key(query, count, settings)
    except TimeoutError as error:
        raise ToolError(f"The search engine did not answer within {SECONDS:.0f} seconds.") from error


async def _key(key: Key, name: str) -> str:
    found = await key(name)
    if not found:
        raise ToolError(f"No key for {name} is stored. The person stores it by `trayclaw keys set {name}`.")
    return found


async def _brave(query: str, count: int, settings: Settings, key: str) -> list[Hit]:
    answer = await _ask(
        settings,
        "GET",
        "https://api.search.brave.com/res/v1/web/search",
        params={"q": query, "count": str(count)},
        headers={"x-subscription-token": key, "accept": "application/json"},
    )
    rows = (answer.get("web") or {}).get("results") or []
    return [_hit(row, "title", "url", "description") for row in rows[:count]]


async def _tavily(query: str, count: int, settings: Settings, key: str) -> list[Hit]:
    answer = await _ask(
        settings,
        "POST",
        "https://api.tavily.com/search",
        json={"query": query, "max_results": count},
        headers={"authorization": f"Bearer {key}"},
    )
    return [_hit(row, "title", "url", "content") for row in (answer.get("results") or [])[:count]]


async def _searxng(query: str, count: int, settings: Settings) -> list[Hit]:
    base = settings.web.searxng_url.rstrip("/")
    if not base:
        raise ToolError("The address of the SearXNG server is not set: web.searxng_url.")
    answer = await _ask(settings, "GET", f"{base}/search", params={"q": query, "format": "json"})
    return [_hit(row, "title", "url", "content") for row in (answer.get("results") or [])[:count]]


async def _ask(settings: Settings, method: str, url: str, **options: Any) -> dict[str, Any]:
    """The engines' addresses come from here or from the owner's settings, so no guard stands before them."""
    import httpx

    client = await open_client(url, Timeouts(idle=SECONDS), settings.network)
    async with client:
        try:
            response = await client.request(method, url, **options)
        except httpx.HTTPError as error:
            raise ToolError(f"The search engine cannot be reached: {error or type(error).__name__}.") from error
    if response.status_code in (401, 403):
        raise ToolError(f"The search engine refused the key (HTTP {response.status_code}).")
    if response.status_code != 200:
        raise ToolError(f"The search engine answered with HTTP {response.status_code}.")
    try:
        answer = response.json()
    except ValueError as error:
        raise ToolError("The search engine's answer is no JSON; a SearXNG server must allow the format.") from error
    return answer if isinstance(answer, dict) else {}


async def _without_a_key(query: str, count: int, settings: Settings) -> list[Hit]:
    if importlib.util.find_spec("ddgs") is not None:
        return await asyncio.to_thread(_ddgs, query, count, settings.network.proxy)
    return await _plain_page(query, count, settings)


async def _plain_page(query: str, count: int, settings: Settings) -> list[Hit]:
    """DuckDuckGo's page for browsers without scripts: what is left where ddgs is not carried along."""
    import httpx

    client = await open_client(PLAIN_PAGE, Timeouts(idle=SECONDS), settings.network)
    async with client:
        try:
            response = await client.post(PLAIN_PAGE, data={"q": query}, headers={"user-agent": BROWSER})
        except httpx.HTTPError as error:
            raise ToolError(f"The search engine cannot be reached: {error or type(error).__name__}.") from error
    if response.status_code != 200:
        hint = "Try later, or choose another engine in the settings (web.search)."
        raise ToolError(f"The search engine answered with HTTP {response.status_code}. {hint}")
    return (await asyncio.to_thread(plain_hits, response.text))[:count]


def plain_hits(page: str) -> list[Hit]:
    """The results in that page; links lead through a redirect of the engine's."""
    from lxml import etree, html

    try:
        tree: Any = html.fromstring(page)
    except (etree.ParserError, ValueError):
        return []
    found = []
    for result in tree.xpath("//div[contains(concat(' ', @class, ' '), ' result ')]"):
        links = result.xpath(".//a[contains(@class, 'result__a')]")
        if not links or "result--ad" in result.get("class", ""):
            continue
        url = urljoin("https://duckduckgo.com/", links[0].get("href", ""))
        target = parse_qs(urlsplit(url).query).get("uddg", [url])[0]
        text = " ".join(" ".join(result.xpath(".//*[contains(@class, 'result__snippet')]//text()")).split())
        found.append(Hit(" ".join(links[0].text_content().split()), target, text))
    return found


def _ddgs(query: str, count: int, proxy: str) -> list[Hit]:
    from ddgs import DDGS
    from ddgs.exceptions import DDGSException

    try:
        rows = DDGS(proxy=proxy or None, timeout=10).text(query, max_results=count)
    except DDGSException as error:
        if "no results" in str(error).lower():
            return []
        raise ToolError(f"The search engines did not answer: {error}.") from error
    return [_hit(row, "title", "href", "body") for row in rows[:count]]


def _hit(row: Any, title: str, url: str, text: str) -> Hit:
    values = row if isinstance(row, dict) else {}
    words = (" ".join(str(values.get(name) or "").split()) for name in (title, url, text))
    return Hit(*words)
