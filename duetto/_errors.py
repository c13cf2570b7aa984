"""What the client raises.

::

    Error
    ├── ServerUnreachable     nothing answers at the address, or it stopped answering
    │   └── ServerSilent      it is there, but says nothing for too long
    ├── InvalidAnswer         something answers that is no Duetto server
    ├── DamagedDownload       a file that came is not the one that was sent
    ├── UnusableFile          a local file that cannot be read or written
    ├── UnusableKey           an API key that cannot be one
    ├── PackageMissing        NumPy or soundfile, which only arrays need, is not installed
    ├── NotInTime             the job has not ended in the time that was given; it goes on
    ├── JobNotSucceeded       the job has no stems, because it ...
    │   ├── JobFailed         ... failed: `failure` says why
    │   ├── JobCanceled       ... was canceled
    │   └── JobExpired        ... is so long ago that they have been removed
    └── Problem               the server refused: duetto/_problems.py has a class for each code

The message is meant for users: what was wrong, what was wanted, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duetto._job import Failure, Job


class Error(Exception):
    """Base of every error that the client raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it pass between processes: what `__init__` takes is not what `args` holds."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[Error], args: tuple[Any, ...], state: dict[str, Any]) -> Error:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ServerUnreachable(Error):
    """Nothing answers at the address, or it stopped answering."""


class ServerSilent(ServerUnreachable):
    """The server took the call and then said nothing for longer than `timeout_s`."""


class InvalidAnswer(Error):
    """Something answers that does not speak as a Duetto server does."""


class DamagedDownload(Error):
    """A file that came is, by its digest or its length, not the one that the server has; twice in a row."""


class UnusableFile(Error):
    """A local file cannot be read or written."""


class UnusableKey(Error):
    """The API key cannot be one."""


class PackageMissing(Error):
    """Arrays need NumPy and soundfile; one of them is not installed."""


class NotInTime(Error, TimeoutError):
    """The job has not ended in the time that was given. It goes on; `job` is its last state."""

    def __init__(self, job: Job, timeout_s: float) -> None:
        super().__init__(f"job {job.id} is still {job.state} after {timeout_s:g} s; it goes on")
        self.job = job


class JobNotSucceeded(Error):
    """The job ended without stems, or has them no more.

    Attributes
    ----------
    job : Job or None
        Its last state; None where only a download was refused.
    """

    def __init__(self, message: str, job: Job | None = None) -> None:
        super().__init__(message)
        self.job = job


class JobFailed(JobNotSucceeded):
    """The job failed.

    Attributes
    ----------
    failure : Failure
        Why: a stable `code`, a `message` that says what to do, whether the same upload may succeed later.
    """

    def __init__(self, failure: Failure, job: Job | None = None) -> None:
        super().__init__(failure.message, job)
        self.failure = failure


class JobCanceled(JobNotSucceeded):
    """The job was canceled."""


class JobExpired(JobNotSucceeded):
    """The job's files have been removed by age."""
