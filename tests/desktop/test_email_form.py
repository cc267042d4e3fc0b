"""The mailbox in the settings: set up at real servers, tested, changed and removed."""

from collections.abc import AsyncIterator, Iterator

import pytest
from PySide6.QtTest import QTest

from agent.service import AgentService
from desktop import tasks
from desktop.bridge import Bridge
from desktop.settings.window import SettingsWindow
from tests.desktop.waiting import until
from tests.peers.mail_servers import ADA, AGENT, PASSWORDS, MailServers, mail_servers, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no mail servers: {why_not()}")


@pytest.fixture
async def window(service: AgentService, bridge: Bridge) -> AsyncIterator[SettingsWindow]:
    made = SettingsWindow(service, bridge)
    made.show()
    yield made
    await tasks.cancel_all()
    made.close()
    made.deleteLater()


@pytest.fixture
def servers() -> Iterator[MailServers]:
    with mail_servers() as found:
        yield found


async def test_a_mailbox_is_set_up_tested_changed_and_removed(
    window: SettingsWindow, service: AgentService, stored: dict[str, str], servers: MailServers
) -> None:
    await service.change_settings({"network.ca_file": str(servers.ca_file)})
    window.show_page("channels")
    row = await until(lambda: window.page("channels")._channels.get("email"), "the row")
    row.set_up.click()
    form = row.form
    assert form is not None and form.isVisible() and not row.field.isVisible()
    assert not form.save.isEnabled(), "servers, login and addresses are missing"
    QTest.keyClicks(form.username, AGENT)
    form.imap_security.setCurrentIndex(form.imap_security.findData("starttls"))
    assert form.imap_port.value() == 143
    form.imap_host.setText("localhost")
    form.imap_port.setValue(servers.imap)
    form.smtp_host.setText("localhost")
    form.smtp_port.setValue(servers.smtps)
    form.owners.setText(f"{ADA.upper()}, second@friend.test")
    form.password.setText("wrong")
    form.save.click()
    await until(lambda: "refuses user name or password" in form.message.text(), "the refusal")
    assert stored == {}
    assert form.isVisible() and form.password.text() == "wrong"

    form.owners.setText("nobody")
    form.save.click()
    await until(lambda: "'nobody' is not an e-mail address" in form.message.text(), "the mistake")
    form.owners.setText(f"{ADA.upper()}, second@friend.test")

    form.password.setText(PASSWORDS[AGENT])
    form.save.click()
    await until(lambda: row.status.text() == "Degraded", "the channel")
    assert "Answer mails" in row.detail.text(), "nothing is answered before the owner agrees"
    assert stored == {"channel:email": PASSWORDS[AGENT]}
    assert service.settings.channels.email.owners == (ADA, "second@friend.test")
    assert not form.isVisible()

    row.enter_token()
    assert form.password.text() == "" and "Stored" in form.password.placeholderText()
    form.consent.click()
    form.save.click()
    await until(lambda: row.status.text() == "Ready", "the mailbox")
    assert service.settings.channels.email.consent
    await row._test()
    assert row.detail.text().startswith("Works, ")
    assert row.detail.text().endswith(f"{AGENT} · IMAP with IDLE, SMTP")

    row._ask_removal()
    row.confirm.click()
    await until(lambda: row.set_up.isVisible(), "the end of the channel")
    assert stored == {}


async def test_oauth_asks_for_other_things(
    window: SettingsWindow, service: AgentService, stored: dict[str, str], servers: MailServers
) -> None:
    window.show_page("channels")
    row = await until(lambda: window.page("channels")._channels.get("email"), "the row")
    row.set_up.click()
    form = row.form
    assert form is not None and not form.token_url.isVisible()
    form.auth.setCurrentIndex(form.auth.findData("xoauth2"))
    assert form.token_url.isVisible() and form.client_id.isVisible()
    assert form.password.accessibleName() == "Refresh token"
    for field, text in ((form.username, AGENT), (form.imap_host, "localhost"), (form.smtp_host, "localhost")):
        field.setText(text)
    form.owners.setText(ADA)
    form.token_url.setText("http://example.org/token")
    form.password.setText("refresh")
    form.save.click()
    await until(lambda: "must begin with https" in form.message.text(), "the refusal")
    assert service.settings.channels.email.auth == "xoauth2"
    assert stored == {"channel:email-oauth": "refresh"}
