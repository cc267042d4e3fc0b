"""The terminal chat, typed at on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from tests.agent.cli_kit import KEY, Terminal, model, trayclaw, use_model, wait_until
from tests.peers.model_server import Request
from tests.peers.replies import Answer, Call, Hang, Reply, unauthorized

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")


def home() -> Path:
    return Path(os.environ["TRAYCLAW_HOME"])


def runs_a_command(request: Request) -> Answer:
    if request.messages[-1]["role"] == "tool":
        return Reply("Understood.")
    return Reply(
        "I will run it.", calls=[Call("run_command", {"command": "echo made > made.txt", "network": True}, "call_1")]
    )


def test_a_conversation_with_footer_history_and_a_clean_end() -> None:
    with model(Reply("Hello **there**.\n\n- one\n- two\n", prompt_tokens=20, completion_tokens=7)) as peer:
        with Terminal("chat") as terminal:
            terminal.wait_for_prompt()
            terminal.type("good morning\r")
            terminal.wait_for("Hello there.")
            terminal.wait_for("• two")
            terminal.wait_for("20 → 7 tokens")
            terminal.wait_for("local/fake-1")
            terminal.type("\x04")
            terminal.wait_for("Bye.")
            assert terminal.end() == 0
            assert "\x1b[?25l" not in terminal.raw.rpartition("\x1b[?25h")[2], "the cursor stays hidden"
        assert peer.peer.chats[0].last_text == "good morning"
    history = home() / "terminal_history"
    assert "good morning" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_several_lines_by_alt_enter_and_by_paste_are_one_message() -> None:
    with model("noted") as peer, Terminal("chat") as terminal:
        terminal.wait_for_prompt()
        terminal.type("one\x1b\rtwo\r")
        terminal.wait_for("noted")
        terminal.wait_for("tokens")
        terminal.type("\x1b[200~three\rfour\r\x1b[201~ and five\r")
        wait_until(lambda: len(peer.peer.chats) == 2, "the second message")
        assert [chat.last_text for chat in peer.peer.chats] == ["one\ntwo", "three\nfour\n and five"]


@pytest.mark.parametrize(("answer", "ran"), [("y\r", True), ("\r", False), ("n\r", False), ("\x03", False)])
def test_a_command_runs_only_after_yes(answer: str, ran: bool) -> None:
    with model(runs_a_command), Terminal("chat") as terminal:
        terminal.wait_for_prompt()
        terminal.type("please\r")
        terminal.wait_for("echo made > made.txt")
        terminal.wait_for("Allow? [y/N]")
        terminal.type(answer)
        terminal.wait_for("Stopped." if answer == "\x03" else "Understood.")
        terminal.wait_for("tokens")
        assert (home() / "workspace" / "made.txt").exists() is ran
        terminal.type("\x04")
        assert terminal.end() == 0


def test_what_was_typed_before_the_question_is_no_answer_to_it() -> None:
    with model("placeholder") as peer, Terminal("chat") as terminal:
        gate = peer.call(_event())

        async def script(request: Request) -> Answer:
            if request.messages[-1]["role"] != "tool":
                await gate.wait()
            return runs_a_command(request)

        peer.peer.script = script
        terminal.wait_for_prompt()
        terminal.type("please\r")
        peer.call(peer.peer.wait_for_chats(1, 30), 40)
        terminal.type("y\r")
        peer.loop.call_soon_threadsafe(gate.set)
        terminal.wait_for("Allow? [y/N]")
        terminal.type("\r")
        terminal.wait_for("Understood.")
        assert not (home() / "workspace" / "made.txt").exists()


def test_a_question_that_nobody_answers_is_denied_and_the_chat_goes_on() -> None:
    with model(runs_a_command) as peer:
        use_model(peer.peer.base_url, "[safety]\napproval_seconds = 1.0\n")
        with Terminal("chat") as terminal:
            terminal.wait_for_prompt()
            terminal.type("please\r")
            terminal.wait_for("Allow? [y/N]")
            terminal.wait_for("Nobody answered in time: denied.")
            terminal.wait_for("Understood.")
            terminal.wait_for("tokens")
            terminal.wait_for_prompt()
            peer.peer.script = Reply("Still here.")
            terminal.type("hello?\r")
            terminal.wait_for("Still here.")
            terminal.wait_for("tokens")
            terminal.type("\x04")
            assert terminal.end() == 0
    assert not (home() / "workspace" / "made.txt").exists()


async def _event() -> asyncio.Event:
    return asyncio.Event()


def test_ctrl_c_stops_the_turn_and_not_the_program() -> None:
    with model(Hang()) as peer, Terminal("chat") as terminal:
        terminal.wait_for_prompt()
        terminal.type("wait for ever\r")
        terminal.wait_for("Ctrl+C stops")
        peer.call(peer.peer.wait_for_chats(1, 30), 40)
        terminal.type("typed meanwhile\x03")
        terminal.wait_for("Stopped.")
        wait_until(lambda: peer.peer.active == 0, "the end of the request")
        peer.peer.script = Reply("Back again.")
        terminal.wait_for("typed meanwhile")
        terminal.type("\r")
        terminal.wait_for("Back again.")
        terminal.wait_for_prompt()
        assert peer.peer.chats[-1].last_text == "wait for ever\n\ntyped meanwhile"
        terminal.type("half a line\x03")
        terminal.type("\x03")
        terminal.wait_for("Bye.")
        assert terminal.end() == 0


def test_a_failure_says_what_to_do_and_the_chat_goes_on() -> None:
    with model(unauthorized()) as peer, Terminal("chat", env={"TRAYCLAW_KEY_LOCAL": KEY}) as terminal:
        terminal.wait_for_prompt()
        terminal.type("hello\r")
        terminal.wait_for("✗ The key was refused")
        terminal.wait_for("Next: Store another key: trayclaw keys set local")
        peer.peer.script = Reply("Better.")
        terminal.type("again\r")
        terminal.wait_for("Better.")


def test_commands() -> None:
    with model("An answer.") as peer, Terminal("chat") as terminal:
        terminal.wait_for_prompt()
        terminal.type("/help\r")
        terminal.wait_for("start a new conversation")
        terminal.type("/nonsense\r")
        terminal.wait_for("There is no command /nonsense.")
        terminal.type("/model nobody/x\r")
        terminal.wait_for("Unknown provider")
        terminal.type("/etc/hosts, what is that?\r")
        terminal.wait_for("An answer.")
        assert peer.peer.chats[0].last_text == "/etc/hosts, what is that?"
        terminal.type("/status\r")
        terminal.wait_for("$0.00 of $5.00")
        terminal.type("/new\r")
        terminal.wait_for("A new conversation.")
        terminal.type("second talk\r")
        wait_until(lambda: len(peer.peer.chats) == 2, "the second message")
        assert len(peer.peer.chats[1].messages) == len(peer.peer.chats[0].messages)
        terminal.wait_for("tokens")
        terminal.type("/conversations\r")
        terminal.wait_for("NUMBER switches.")
        terminal.type("/conversations 2\r")
        terminal.wait_for("❯ /etc/hosts, what is that?\n")
        terminal.type("/quit\r")
        assert terminal.end() == 0


def test_the_first_run_says_what_answers_and_how_to_get_more() -> None:
    with Terminal("chat") as terminal:
        terminal.wait_for("tiny built-in model")
        terminal.wait_for("trayclaw keys set openai")
        terminal.wait_for_prompt()
        terminal.type("\x03")
        terminal.wait_for("Bye.")
        assert terminal.end() == 0
    assert trayclaw("conversations", "list").out == "There is no conversation yet.\n", "looking in leaves nothing"


def test_a_dumb_terminal_gets_plain_lines() -> None:
    with model("Hello **there**."), Terminal("chat", env={"TERM": "dumb"}) as terminal:
        terminal.wait_for("TrayClaw")
        terminal.type("hi\r")
        terminal.wait_for("Hello there.")
        terminal.wait_for("tokens")
        assert "\x1b[?2026h" not in terminal.raw


def test_a_pipe_is_a_conversation_of_lines() -> None:
    with model(lambda request: Reply(f"You said {request.last_text}.")) as peer:
        outcome = trayclaw("chat", stdin="one\n\ntwo\n/quit\nthree\n")
        assert (outcome.code, outcome.out) == (0, "You said one.\nYou said two.\n")
        assert len(peer.peer.chats[1].messages) > len(peer.peer.chats[0].messages)


def test_without_a_keyring_a_key_goes_into_a_file_after_consent_and_the_chat_asks_for_its_passphrase() -> None:
    env = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    with model("Unlocked.", api_key=KEY):
        with Terminal("keys", "set", "local", env=env) as terminal:
            terminal.wait_for("Key of local (not shown):")
            terminal.type(f"{KEY}\r")
            terminal.wait_for("Use such a file? [y/N]")
            terminal.type("y\r")
            for question in ("New passphrase", "Once more"):
                terminal.wait_for(question)
                terminal.type("correct horse\r")
            terminal.wait_for("is kept in an encrypted file")
            assert terminal.end() == 0
            assert KEY not in terminal.raw
            assert "correct horse" not in terminal.raw
        with Terminal("chat", env=env) as terminal:
            terminal.wait_for("Passphrase of the file")
            terminal.type("wrong horse\r")
            terminal.wait_for("Passphrase of the file")
            terminal.type("correct horse\r")
            terminal.wait_for_prompt()
            terminal.type("hello\r")
            terminal.wait_for("Unlocked.")


def test_no_consent_keeps_nothing() -> None:
    env = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    with Terminal("keys", "set", "openai", env=env) as terminal:
        terminal.wait_for("Key of openai (not shown):")
        terminal.type(f"{KEY}\r")
        terminal.wait_for("Use such a file? [y/N]")
        terminal.type("\r")
        terminal.wait_for("This computer has no keyring")
        assert terminal.end() == 2
    assert not (home() / "secrets.enc").exists()
