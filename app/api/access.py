"""Who calls, and what they may see.

With API keys set, every call under ``/v1/jobs`` needs one, and a job is there for the key's owner alone.
Without any, only this machine is answered, unless the operator says that others may be.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.errors import Unauthorized
from app.exposure import is_loopback
from app.jobs.record import Job
from app.jobs.store import job_not_found
from app.keys import Keyring
from app.settings import Settings

_IPV6_CLIENT_BITS: Final = 64  # one household or server has a whole /64 to choose addresses from

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="A key that `duetto key NAME` printed, where the server asks."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    Attributes
    ----------
    name : the name of their API key; None where no keys are used, and then all jobs are everyone's
    client : what quotas count by: the key's name or the address
    """

    name: str | None
    client: str

    def check_owner(self, job: Job) -> None:
        """Return if the job is the caller's; raise `JobNotFound`, as for an id that never was, if not."""
        if self.name is not None and job.owner != self.name:
            raise job_not_found()


async def _caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller:
    keyring: Keyring = request.app.state.keyring
    settings: Settings = request.app.state.settings
    if keyring:
        if credentials is None:
            raise Unauthorized(
                "this server asks for an API key: send it as `Authorization: Bearer KEY`; its operator makes keys"
            )
        name = keyring.owner_of(credentials.credentials)
        if name is None:
            raise Unauthorized("the API key is not one of this server's; check that it is whole, or ask its operator")
        return Caller(name, f"key:{name}")
    # Port None: a socket file, which has an owner and a mode to guard it.
    host, port = request.scope.get("server") or (None, None)
    if not settings.allow_anonymous and not is_loopback(host if port is not None else None):
        raise Unauthorized(
            "this server has no API keys yet and answers its own machine only; its operator can make keys with "
            "`duetto key NAME` and set DUETTO_API_KEYS, or let everyone in with DUETTO_ALLOW_ANONYMOUS=1"
        )
    return Caller(None, f"address:{_network_of(request.client.host if request.client else '')}")


def _network_of(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, _IPV6_CLIENT_BITS), strict=False))


AccessDep = Depends(_caller)
CallerDep = Annotated[Caller, AccessDep]
