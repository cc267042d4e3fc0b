"""`trayclaw mcp` as it is typed: servers added, listed, tried, removed, and their keys."""

from __future__ import annotations

import json
import sys

from tests.agent.cli_kit import ROOT, config_file, configure, trayclaw
from tests.peers.mcp_over_http import http_peer

PEER = ("--", sys.executable, "-m", "tests.peers.mcp_tools")


def test_a_program_is_added_tried_listed_and_removed() -> None:
    configure("# mine\n")
    assert trayclaw("mcp", "list").out.startswith("There is no server yet.")
    added = trayclaw("mcp", "add", "peer", "--env", f"PYTHONPATH={ROOT}", *PEER)
    assert (added.code, added.out) == (0, "peer is added. Try it: trayclaw mcp test peer\n")
    assert config_file().read_text().startswith("# mine\n") and "[mcp.peer]" in config_file().read_text()
    listed = json.loads(trayclaw("mcp", "list", "--json").out)
    assert listed == {"name": "peer", "where": " ".join(PEER[1:]), "enabled": True}
    tried = trayclaw("mcp", "test", "peer")
    assert tried.code == 0 and tried.out.startswith("peer works: 11 tools ("), tried.err
    tools = trayclaw("mcp", "tools", "peer").out.splitlines()
    assert tools[0].split() == ["add", "new", "Add", "two", "numbers."]
    assert trayclaw("mcp", "remove", "peer").code == 0
    assert "peer" not in config_file().read_text()


def test_an_address_with_a_key() -> None:
    with http_peer(key="Bearer right-0123456789") as peer:
        key = ("--header", "Authorization=keyring:peer-token")
        assert trayclaw("mcp", "add", "peer", "--url", peer.url, *key).code == 0
        assert "right-0123456789" not in config_file().read_text()
        wrong = trayclaw("mcp", "test", "peer", env={"TRAYCLAW_KEY_PEER_TOKEN": "Bearer wrong"})
        assert wrong.code == 1 and "HTTP 401" in wrong.err
        right = trayclaw("mcp", "test", "peer", env={"TRAYCLAW_KEY_PEER_TOKEN": "Bearer right-0123456789"})
        assert right.code == 0, right.err


def test_mistakes_are_said_and_change_nothing() -> None:
    configure('[mcp.peer]\nurl = "http://127.0.0.1:9/mcp"\n')
    before = config_file().read_text()
    for arguments, words in (
        (("add", "peer", "--url", "http://127.0.0.1:9"), "There is a server peer already."),
        (("add", "a b", "--url", "http://127.0.0.1:9"), "cannot be its name"),
        (("add", "other"), "either a command or an address"),
        (("add", "other", "--url", "http://127.0.0.1:9", "--", "program"), "either a command or an address"),
        (("add", "other", "--url", "http://me:secret@127.0.0.1:9"), "no address of a server"),
        (("add", "other", "--env", "NOTHING", "--", "program"), "is not NAME=VALUE"),
        (("remove", "absent"), "There is no MCP server absent."),
        (("test", "absent"), "There is no MCP server absent."),
        (("allow", "absent"), "There is no MCP server absent."),
    ):
        outcome = trayclaw("mcp", *arguments)
        assert outcome.code == 2 and words in outcome.err, (arguments, outcome)
    away = trayclaw("mcp", "test", "peer")
    assert away.code == 1 and "nothing answers at its address" in away.err
    assert config_file().read_text() == before


def test_a_key_that_a_server_asks_for_can_be_stored() -> None:
    refused = trayclaw("keys", "set", "gh", stdin="ghp-0123456789\n")
    assert refused.code == 2 and "keyring:gh where an MCP server needs it" in refused.err
    trayclaw("mcp", "add", "peer", "--url", "http://127.0.0.1:9/mcp", "--header", "Authorization=keyring:gh")
    known = trayclaw("keys", "set", "gh", stdin="ghp-0123456789\n")
    assert "There is no provider" not in known.err
