"""Whether a job's `webhook_url` is taken, by the settings of this server."""

from __future__ import annotations

from app.errors import WebhooksDisabled
from app.settings import Settings
from app.webhooks.address import parse_networks
from app.webhooks.signature import parse_secrets
from app.webhooks.target import parse_target


def check_webhooks(settings: Settings) -> None:
    """Return if the settings for webhooks can be read; raise `ConfigurationError` if not."""
    parse_secrets(settings.webhook_secret)
    parse_networks(settings.webhook_allow_private)


def parse_webhook(text: str, settings: Settings) -> str | None:
    """Return the URL to tell of a job's end, None if `text` is empty.

    Raises
    ------
    WebhooksDisabled
        If there is no secret to sign with.
    UnusableWebhook
        If it is no URL that something may be sent to.
    """
    text = text.strip()
    if not text:
        return None
    if not parse_secrets(settings.webhook_secret):
        raise WebhooksDisabled(
            "`webhook_url`: this server has no secret to sign webhooks with, so it sends none; leave the field out and "
            "follow the job instead, or ask the operator to set DUETTO_WEBHOOK_SECRET"
        )
    return parse_target(text, parse_networks(settings.webhook_allow_private))
