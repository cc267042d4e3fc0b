"""What a page says, as Markdown. Blocks, and imports what is heavy: call it in a thread."""

from __future__ import annotations

import codecs
import json
import logging
import re
from typing import Any

from agent.errors import ToolError

_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_THIN = 200
"""Characters; a result with fewer from a page with far more is taken for a miss."""
_NEVER_TEXT = ("audio/", "video/", "font/", "application/zip", "application/octet-stream", "application/gzip")


def as_markdown(body: bytes, content_type: str, url: str) -> str:
    """Headings, lists, tables, code and links kept. Raises `ToolError` for what is no text."""
    for name in ("trafilatura", "htmldate"):  # they log what is wrong with other people's pages
        logging.getLogger(name).setLevel(logging.CRITICAL)
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith(_NEVER_TEXT) or (not kind and b"\0" in body[:4096]):
        raise ToolError(f"{url} is {kind or 'binary'}, not text.")
    text = decode(body, content_type)
    if kind.endswith("json"):
        try:
            return "```json\n" + json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n```"
        except ValueError:
            return text
    if kind in ("text/html", "application/xhtml+xml") or (not kind and "<html" in text[:2000].lower()):
        return _html(text, url)
    return text


def decode(body: bytes, content_type: str) -> str:
    """By byte order mark, header, meta element, or what fits."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    said = _IN_HEADER.search(content_type)
    meta = _CHARSET.search(body[:4096])
    names = [said[1]] if said else []
    names += [meta[1].decode("ascii", "replace")] if meta else []
    for name in (*names, "utf-8"):
        try:
            return body.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    try:
        return body.decode(names[0] if names else "cp1252", "replace")
    except LookupError:
        return body.decode("cp1252", "replace")


def _html(text: str, url: str) -> str:
    import trafilatura

    found = trafilatura.extract(
        text,
        url=url,
        output_format="markdown",
        include_links=True,
        include_tables=True,
        include_formatting=True,
        include_comments=False,
        favor_recall=True,
    )
    title = re.search(r"<title[^>]*>(.{1,300}?)</title>", text, re.IGNORECASE | re.DOTALL)
    whole = ""
    lost_code = "<pre" in text.lower() and "```" not in (found or "")
    if not found or lost_code or (len(found) < _THIN and len(text) > 20 * _THIN):
        whole = _everything(text)
    body = whole if len(whole) > len(found or "") else (found or whole)
    head = f"# {' '.join(title[1].split())}\n\n" if title and not body.lstrip().startswith("# ") else ""
    return head + body.strip()


def _everything(text: str) -> str:
    """The whole page without what never is its content."""
    from lxml import etree, html
    from markdownify import markdownify

    try:
        tree: Any = html.fromstring(text.encode("utf-8", "replace"), parser=html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, ValueError):
        return ""
    for element in tree.xpath(
        "//script|//style|//noscript|//template|//svg|//iframe|//nav|//footer|//form|//comment()"
    ):
        element.drop_tree()
    main = tree.xpath("//main|//article") or tree.xpath("//body") or [tree]
    largest = max(main, key=lambda element: len(element.text_content()))
    source = html.tostring(largest, encoding="unicode")
    marked = markdownify(source, heading_style="ATX", strip=["img"])
    return re.sub(r"\n{3,}", "\n\n", marked).strip()
