"""Webhooks as OpenAPI shows them: requests that this server makes (app/webhooks/, worker/webhooks/)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, status

from app.webhooks.message import WebhookMessage

router = APIRouter(tags=["webhooks"])


@router.post(
    "job-ended",
    summary="A job has ended",
    status_code=status.HTTP_204_NO_CONTENT,
    response_description="Taken; any 2xx will do.",
    responses={
        410: {"description": "Not wanted: nothing more is sent."},
        "4XX": {"description": "Not taken, as with every other status: it is sent again later."},
    },
)
def job_ended(
    message: WebhookMessage,
    webhook_id: Annotated[str, Header(description="The same each time that this message is sent.")],
    webhook_timestamp: Annotated[int, Header(description="When it is sent, in seconds since the epoch.")],
    webhook_signature: Annotated[
        str,
        Header(description="`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several with spaces."),
    ],
) -> None:
    """Sent to the job's `webhook_url`, signed by the Standard Webhooks specification."""
