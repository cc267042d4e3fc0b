"""Markdown in the chat: what was finished is not touched again, and nothing that a model writes loads or runs."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QTextCursor
from PySide6.QtWidgets import QApplication, QScrollArea, QWidget
from pytestqt.qtbot import QtBot

from desktop.chat.links import open_link
from desktop.chat.markdown.code_card import CodeCard
from desktop.chat.markdown.column import Quote
from desktop.chat.markdown.highlight import read
from desktop.chat.markdown.parser import parse
from desktop.chat.markdown.parts import CodePart, Line, Part, TablePart, TextPart
from desktop.chat.markdown.prose import Prose
from desktop.chat.markdown.stream import MarkdownStream
from desktop.chat.markdown.table_card import TableCard
from desktop.chat.markdown.view import MarkdownView

TEXT = """\
# Title

Words with **bold**, *slanted*, `code`, ~~gone~~ and a [link](https://example.org/a).
They go on.

1. one
2. two

   ```python
   print("hello")
   ```

3. three
   - inside

> said by
> another

| a | b |
|---|--:|
| 1 | 2 |

```
plain

text
```

- [ ] open
- [x] done

The end.
"""


@pytest.fixture
def view(qapp: QApplication, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[MarkdownView]:
    monkeypatch.setattr(CodeCard, "finish", lambda _card: None)  # colours need a running loop; they have their own test
    area = QScrollArea()
    area.setWidgetResizable(True)
    made = MarkdownView()
    area.setWidget(made)
    qtbot.addWidget(area)
    area.resize(620, 800)
    area.show()
    yield made


def settle(view: MarkdownView) -> None:
    while view.work():
        pass


def shown(view: MarkdownView) -> list[QWidget]:
    return view.column.widgets()


def plain(parts: list[Part]) -> str:
    """All words of the parts, whatever they stand in."""
    found: list[str] = []
    for part in parts:
        match part:
            case TextPart():
                found += [line.text for line in part.lines]
            case CodePart():
                found.append(part.code)
            case TablePart():
                found += ["".join(span.text for span in cell) for row in (part.header, *part.rows) for cell in row]
            case _:
                found += [plain(list(getattr(part, "parts", ())))]
    return " ".join(" ".join(found).split())


def stream(text: str, cuts: Iterator[int]) -> list[Part]:
    """The final parts, with `text` fed in pieces of those lengths."""
    source, found, at = MarkdownStream(), [], 0

    def take() -> None:
        while True:
            step = source.step()
            found.extend(step.done)
            if step.code:
                last = found[-1]
                assert isinstance(last, CodePart)
                found[-1] = CodePart(last.language, last.code + step.code, last.indent)
            if not step.more:
                return

    while at < len(text):
        size = next(cuts)
        source.feed(text[at : at + size])
        at += size
        take()
    source.close()
    take()
    return found


def test_a_text_in_pieces_says_the_same_as_the_whole() -> None:
    whole = plain([part for block in parse(TEXT) for part in block.parts])
    for seed in range(20):
        dice = random.Random(seed)
        assert plain(stream(TEXT, iter(lambda dice=dice: dice.randint(1, 40), 0))) == whole, seed


@pytest.mark.parametrize(
    "text",
    [
        "word " * 4000,
        "- item with a few words\n" * 800,
        "```python\n" + "value = 1  # a line\n" * 800 + "```\n",
        "| a | b |\n|---|---|\n" + "| one | two |\n" * 600,
        "x" * 20_000,
        "```\nnever closed\n" * 3,
    ],
    ids=["paragraph", "list", "code", "table", "one word", "open fence"],
)
def test_long_blocks_lose_nothing(text: str) -> None:
    letters = "".join(plain([part for block in parse(text) for part in block.parts]).split())
    found = "".join(plain(stream(text, iter(lambda: 977, 0))).split())
    assert found.replace("ab", "").count("onetwo") == letters.count("onetwo")
    assert len(found) >= len(letters)
    assert found.startswith(letters[:1000])


def test_a_task_has_a_box_for_a_bullet(view: MarkdownView) -> None:
    view.load("- item\n- [ ] open\n- [x] done")
    settle(view)
    (prose,) = view.findChildren(Prose)
    document = prose.document()
    blocks = [document.findBlockByNumber(number) for number in range(document.blockCount())]
    assert [block.text() for block in blocks] == ["item", "☐ open", "☑ done"]
    assert [block.textList() is not None for block in blocks] == [True, False, False]
    edges = {round(document.documentLayout().blockBoundingRect(block).left()) for block in blocks}
    assert len(edges) == 1, "all stand in one line"


def test_finished_blocks_are_not_rendered_again(view: MarkdownView) -> None:
    view.append(TEXT)
    settle(view)
    before = shown(view)
    assert [type(widget) for widget in before[:5]] == [Prose, CodeCard, Prose, Quote, TableCard]
    first = before[0]
    assert isinstance(first, Prose)
    touched: list[int] = []
    first.document().contentsChange.connect(lambda at, _gone, _new: touched.append(at))
    view.append("\n\nMore of it, and **more**.\n\n" + "Another paragraph.\n\n" * 50)
    settle(view)
    assert shown(view)[: len(before) - 1] == before[:-1]
    assert touched == []


def test_the_end_of_a_text_grows_in_place(view: MarkdownView) -> None:
    view.append("First paragraph.\n\nSecond ")
    settle(view)
    (prose,) = shown(view)
    assert isinstance(prose, Prose)
    touched: list[int] = []
    prose.document().contentsChange.connect(lambda at, _gone, _new: touched.append(at))
    view.append("goes on.")
    settle(view)
    assert shown(view) == [prose]
    assert prose.toPlainText() == "First paragraph.\nSecond goes on."
    assert min(touched) >= len("First paragraph.")


def test_code_grows_by_its_end_and_is_copied(view: MarkdownView) -> None:
    view.append("```python\nprint(1)\n")
    settle(view)
    (card,) = shown(view)
    assert isinstance(card, CodeCard)
    assert (card.code, card.label.text()) == ("print(1)", "python")
    view.append("\nprint(2)\n```\n\nDone.")
    view.close_text()
    settle(view)
    assert shown(view)[0] is card
    card.copy.click()
    assert QGuiApplication.clipboard().text() == "print(1)\n\nprint(2)"
    assert card.copy.text() == "Copied"


def test_code_inside_a_list_stands_below_its_item(view: MarkdownView) -> None:
    view.append(TEXT)
    view.close_text()
    settle(view)
    before, card, after = shown(view)[:3]
    assert isinstance(before, Prose) and isinstance(card, CodeCard) and isinstance(after, Prose)
    assert before.lines[-1].marker == "2"
    assert card.code == 'print("hello")'
    assert (after.lines[0].marker, after.lines[0].text) == ("3", "three")


def test_html_stays_text_and_pictures_are_only_linked(view: MarkdownView) -> None:
    view.append('<b onclick="x()">no</b> ![a cat](https://example.org/cat.png)')
    settle(view)
    (prose,) = shown(view)
    assert isinstance(prose, Prose)
    assert prose.toPlainText() == '<b onclick="x()">no</b> a cat'
    assert prose.lines[0].spans[-1].href == "https://example.org/cat.png"
    assert "<img" not in prose.toHtml()


@pytest.mark.parametrize(
    ("address", "opened"),
    [
        ("https://example.org", True),
        ("http://example.org", True),
        ("mailto:a@example.org", True),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("smb://host/share", False),
        ("relative", False),
    ],
)
def test_only_web_and_mail_addresses_are_opened(address: str, opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: asked.append(url) or True)
    assert open_link(QUrl(address)) is opened
    assert bool(asked) is opened


def test_a_paragraph_from_right_to_left_is_aligned_to_the_right(view: MarkdownView, qtbot: QtBot) -> None:
    view.append("שלום, זה טקסט.")
    settle(view)
    (prose,) = shown(view)
    assert isinstance(prose, Prose)
    start = QTextCursor(prose.document())
    qtbot.waitUntil(lambda: prose.cursorRect(start).left() > 500)


def test_a_word_wider_than_the_window_wraps(view: MarkdownView, qtbot: QtBot) -> None:
    view.append("x" * 400)
    settle(view)
    (prose,) = shown(view)
    assert isinstance(prose, Prose)
    qtbot.waitUntil(lambda: prose.document().firstBlock().layout().lineCount() > 3)
    qtbot.waitUntil(lambda: prose.height() >= prose.document().size().height())


def test_tokens_are_counted_as_qt_counts() -> None:
    code = 'x = "😀"  # a\ny = 1'
    found = {(start, length): family for start, length, family in read("python", code)}
    assert found[(8 + 2, 3)] == "comment"  # the emoji is two units for Qt
    assert read("no-such-language", code) == []


def test_a_hundred_kilobytes_never_hold_up_the_loop(view: MarkdownView) -> None:
    text = (TEXT + "\n\n" + "A paragraph of some length, with **bold** words in it. " * 40 + "\n\n") * 44
    assert len(text) > 100_000
    taken: list[float] = []
    view.append(text)
    more = True
    while more:
        began = time.thread_time()
        more = view.work()
        QApplication.processEvents()
        taken.append(time.thread_time() - began)
    view.close_text()
    taken.sort()
    assert len(taken) > 50  # it was done in pieces
    assert taken[len(taken) // 2] < 0.016


def test_lines_are_equal_by_value() -> None:
    assert parse("- a")[0].parts == parse("- a")[0].parts
    assert Line(()) == Line(())
