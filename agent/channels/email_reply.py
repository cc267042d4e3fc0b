"""The new text of a mail: what the person wrote, without the mails that their program put below it.

Nothing that could be the person's own is cut: signatures stay, answers between quoted lines stay, and so does a mail
that they forward (apart from their words, because it is the text of others).
The headers above quotations are known to mail-parser-reply in 14 languages; what it does not know is here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from agent.channels.email_text import as_text, body, header, parse

if TYPE_CHECKING:
    from mailparser_reply.parser import EmailMessage  # type: ignore[import-untyped]

_MAIL_HEADERS: Final = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Received")
_LONGEST_LINE = 1000
"""A longer one is no header; also, patterns that go back and forth stay quick."""
_WINDOW_LINES = 6
_LANGUAGES: Final = ("en", "de", "cs", "da", "es", "fr", "it", "ja", "ko", "nl", "pl", "sv", "zh", "david")

_QUOTED = re.compile(r"[ \t]*>")
_RULE = re.compile(r"[ \t]*(?:_{5,}|-{10,}|\*{5,})[ \t]*")
_HEADER_NAMES: Final = {
    "from": "from|von|de|da|fra|från|van|od|от|від|kimden|lähettäjä|feladó|de la|发件人|寄件者|"
    "差出人|送信元|보낸 ?사람|από",
    "other": "sent|date|to|cc|bcc|subject|reply-to|importance|organization|gesendet|datum|an|betreff|envoyé|à|objet|"
    "kopie|enviado(?: el)?|fecha|para|asunto|data|assunto|inviato|oggetto|a|sendt|dato|til|emne|skickat|till|ämne|"
    "kopia|verzonden|aan|onderwerp|wysłano|do|temat|odesláno|komu|předmět|дата|кому|тема|отправлено|відправлено|gönderildi|"
    "tarih|kime|konu|lähetetty|päivämäärä|vastaanottaja|aihe|elküldve|címzett|tárgy|trimis|către|subiect|"
    "发送时间|发送日期|日期|收件人|主题|送信日時|日時|宛先|件名|보낸 ?날짜|받는 ?사람|제목",
}
_FROM = re.compile(rf"[ \t]*\*{{0,2}}(?:{_HEADER_NAMES['from']})[ \t]?:\*{{0,2}}(?:[ \t\xa0]|$)", re.IGNORECASE)
_HEADER = re.compile(
    rf"[ \t]*\*{{0,2}}(?:{_HEADER_NAMES['from']}|{_HEADER_NAMES['other']})[ \t]?:\*{{0,2}}(?:[ \t\xa0]|$)",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"[ \t]*[-_=*]{2,}[ \t]*(?:original|reply|ursprüngliche|antwort|message|mensaje|mensagem|messaggio|oprindelig|"
    r"opprinnelig|"
    r"ursprungligt|oorspronkelijk|wiadomość|původní|исходное|пересылаемое|orijinal|alkuperäinen|eredeti|原始|元の|원본)"
    r"[^\n]{0,40}?[-_=*]{2,}[ \t]*",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"[ \t]*(?:[-_=*]{2,}[ \t]*[^\n]{0,20}(?:forwarded|weitergeleitet|transféré|transmis|reenviado|reencaminhada|"
    r"encaminhada|inoltrato|videresendt|vidarebefordrat|doorgestuurd|przekazana|přeposlaná|пересланное|пересылаемое|転送|转发|전달)"
    r"[^\n]{0,30}[-_=*]{2,}|begin forwarded message:|anfang der weitergeleiteten (?:nachricht|e-mail):|"
    r"début du message (?:réexpédié|transféré)[ \xa0]?:|inicio del mensaje reenviado:|"
    r"inizio messaggio inoltrato:)[ \t]*",
    re.IGNORECASE,
)
_FORWARD_SUBJECT = re.compile(
    r"\s*(?:fwd?|wg|tr|rv|enc|i|vb|vs|vl|pd|doorst|转发|轉寄|転送|전달)\s*:", re.IGNORECASE
)  # "I" (Italian) and the rest: what mail programs put there, by their languages
_BEGINS = (
    r"on|le|am|op|el|il|em|no dia|på|den|dne|dnia|w dniu|pe data de|at|vào|în data|a|ha|"
    r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{4}年|\d{1,2}\.? \w{3,12}\.? \d{4}|"
    r"\w{2,10}[.,]{0,2} \d{1,2}\.? \w{3,12}\.? \d{4}"
)
_WROTE = (
    r"wrote|sent|a écrit|schrieb|geschrieben|schreef|geschreven|verzond|skrev|escribió|escreveu|napisał(?:\(a\)|a)?|"
    r"napsal(?:\(a\)|a)?|ha scritto|написал(?:\(а\)|а)?|пишет|написав|kirjoitti|yazdı|írta|a scris|έγραψε|đã viết|"
    r"写道|寫道|"
    r"のメッセージ|書きました|님이 작성"
)
_WROTE_LINE = re.compile(
    rf"[ \t]*(?:{_BEGINS})\b.{{0,400}}?(?:{_WROTE})[^\n]{{0,80}}?[:：][ \t]*", re.IGNORECASE
)  # over a window of joined lines
_BEGINNING = re.compile(rf"[ \t]*(?:{_BEGINS})\b", re.IGNORECASE)
_ENDS_WITH_WROTE = re.compile(rf"(?:{_WROTE})[ \t\xa0]*[:：]$", re.IGNORECASE)
_WROTE_WITH_ADDRESS = re.compile(rf".{{0,300}}<[^<>\s]+@[^<>\s]+>[ \t]*(?:{_WROTE})[ \t]*[:：]", re.IGNORECASE)
_DATED = re.compile(r"\d{1,4}[./-]\d{1,2}(?:[./-]\d{1,4})?|\d{1,2}[:.]\d{2}|\b(?:19|20)\d{2}\b|\d年")
_ADDRESS = re.compile(r"[^\s<>@()\[\]]+@[^\s<>@()\[\]]+")
_LIST_FOOTER = re.compile(r"[ \t]*[^\n]{0,100}mailing list[ \t]*", re.IGNORECASE)


def extract_reply(raw: bytes) -> str:
    """The new text of a mail. Takes milliseconds of CPU."""
    mail = parse(raw)
    if any(name in mail for name in _MAIL_HEADERS):
        own, forwarded = divide(body(mail), passes_on=passes_on(header(mail, "Subject")))
    else:
        own, forwarded = divide(as_text(raw))  # a text without any header
    return "\n\n".join(one for one in (own, forwarded) if one)


def passes_on(subject: str) -> bool:
    """Whether a subject is that of a forwarded mail: some programs tell it by nothing else."""
    return _FORWARD_SUBJECT.match(subject) is not None


def divide(text: str, *, passes_on: bool = False) -> tuple[str, str]:
    """What is new in the text of a mail: the person's own words, and a mail of others that they forward ("": none).
    `passes_on`: an older mail below is what the person wants to show, and stays."""
    lines = text.replace("\r\n", "\n").split("\n")
    kept: list[str] = []
    forwarded: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number][:_LONGEST_LINE]
        if _FORWARDED.fullmatch(line) or (passes_on and _ends_here(lines, number)):
            forwarded = lines[number:]
            break
        if _ends_here(lines, number):
            while kept and (not kept[-1].strip() or _RULE.fullmatch(kept[-1])):
                kept.pop()
            break
        if after := _attribution(lines, number):
            following = _next_written(lines, after)
            if following < len(lines) and not _QUOTED.match(lines[following]):
                break  # their program quotes without marks: all that follows is the other mail
            number = _after_quotation(lines, following)
            continue
        if _QUOTED.match(line) and (after := _after_quotation(lines, number)) - number > 1:
            number = after
            continue
        kept.append(lines[number])
        number += 1
    return _joined(kept), _joined(forwarded)


def _joined(lines: list[str]) -> str:
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines).replace("\xa0", " ")).strip()


def _ends_here(lines: list[str], number: int) -> bool:
    """Whether another mail, or what a list adds to each, begins at this line and goes on to the end."""
    line = lines[number][:_LONGEST_LINE]
    if _ORIGINAL.fullmatch(line):
        return True
    following = _next_written(lines, number + 1)
    if _RULE.fullmatch(line) and following < len(lines):
        return bool(_header_block(lines, following) or _LIST_FOOTER.fullmatch(lines[following][:_LONGEST_LINE]))
    return _header_block(lines, number)


def _header_block(lines: list[str], number: int) -> bool:
    """From, Sent, To, Subject ... of another mail, at least two of them, the sender's or the date's first."""
    if not _HEADER.match(lines[number][:_LONGEST_LINE]):
        return False
    block = [line[:_LONGEST_LINE] for line in lines[number : number + _WINDOW_LINES]]
    names = 0
    for line in block:
        if not line.strip():
            break
        names += bool(_HEADER.match(line))
    first = block[0]
    begins = bool(_FROM.match(first) or (_DATED.search(first) and _HEADER.match(first)))
    return begins and names >= 2 and any(_ADDRESS.search(line) or _DATED.search(line) for line in block)


def _attribution(lines: list[str], number: int) -> int:
    """The number of the line after "On ... somebody wrote:" when that begins here, 0 otherwise."""
    first = lines[number]
    if not first.strip() or _QUOTED.match(first) or len(first) > _LONGEST_LINE:
        return 0
    window = ""
    for count in range(1, _WINDOW_LINES + 1):
        if number + count > len(lines) or len(window) > _LONGEST_LINE:
            return 0
        line = lines[number + count - 1]
        if count > 1 and (line.lstrip().startswith(">") and not line.rstrip().endswith((":", "："))):
            return 0
        window = f"{window} {line.strip()}" if window else line.strip()
        if window.endswith((":", "：")) or (count == 1 and window.endswith(">")):
            return number + count if _names_a_writer(lines, number, count, window) else 0
        if count > 1 and not line.strip() and not window.startswith(("On ", "on ")):
            return 0
    return 0


def _names_a_writer(lines: list[str], number: int, count: int, window: str) -> bool:
    """Whether these lines say who wrote, and when, what comes next."""
    following = _next_written(lines, number + count)
    quoted = following < len(lines) and bool(_QUOTED.match(lines[following]))
    if quoted and _ENDS_WITH_WROTE.search(window) and (_BEGINNING.match(window) or _ADDRESS.search(lines[number])):
        return True
    if not (_DATED.search(window) or _ADDRESS.search(window)):
        return False
    if not (_DATED.search(lines[number]) or _ADDRESS.search(lines[number]) or _BEGINNING.match(lines[number])):
        return False
    if window.endswith(">"):
        return quoted and bool(_DATED.search(window) and _ADDRESS.search(window))
    if _WROTE_LINE.fullmatch(window) or _WROTE_WITH_ADDRESS.fullmatch(window):
        return True
    if _DATED.search(window) and _ADDRESS.search(window) and (quoted or re.match(r"\d|\w{2,4},? \d", window)):
        return True
    known = _library().HEADER_REGEX.match("\n".join(lines[number : number + count]))
    return known is not None and known.end() > len(window) // 2


def _next_written(lines: list[str], number: int) -> int:
    while number < len(lines) and not lines[number].strip():
        number += 1
    return number


def _after_quotation(lines: list[str], number: int) -> int:
    """The first line after a run of quoted ones, the empty ones in it and after it included."""
    number = _next_written(lines, number)
    while number < len(lines) and _QUOTED.match(lines[number]):
        number = _next_written(lines, number + 1)
    return number


@cache
def _library() -> EmailMessage:
    from mailparser_reply.parser import EmailMessage

    return EmailMessage("", list(_LANGUAGES))
