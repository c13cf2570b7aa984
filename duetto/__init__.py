"""The Python client of Duetto: send the video of a duet, get who plays what on which side, and a stem for each player.

::

    import duetto

    with duetto.Client("http://127.0.0.1:8000") as client:
        duet = client.separate("duet.mp4", output="stems", on_progress=print)
    print(duet.left.instrument, duet.left.path, duet.right.instrument, duet.right.path)

:class:`AsyncClient` has the same methods as coroutines. This package needs httpx alone and imports nothing of the
service. How the modules lie over each other: docs/architecture.md.
"""

from duetto._async_client import AsyncClient
from duetto._client import Client
from duetto._connection import DEFAULT_SERVER
from duetto._errors import (
    DamagedDownload,
    Error,
    InvalidAnswer,
    JobCanceled,
    JobExpired,
    JobFailed,
    JobNotSucceeded,
    NotInTime,
    PackageMissing,
    ServerSilent,
    ServerUnreachable,
    UnusableFile,
    UnusableKey,
)
from duetto._job import Failure, Job
from duetto._options import Options
from duetto._picture import Picture
from duetto._problems import (
    BodyTooLarge,
    BrokerFull,
    BrokerUnavailable,
    ConfigurationError,
    ConflictingInput,
    CorruptZip,
    EmptyFile,
    FilesGone,
    IdempotencyKeyReused,
    IllegalTransition,
    InternalError,
    InvalidCursor,
    InvalidRequest,
    JobNotFound,
    MalformedBody,
    MethodNotAllowed,
    MissingInput,
    NotAFile,
    NotFound,
    OtherFormat,
    Problem,
    QueueFull,
    QuotaExceeded,
    RangeNotSatisfiable,
    ServerBusy,
    ServerStopping,
    StemNotReady,
    StorageFull,
    StorageUnavailable,
    TooManyImages,
    Unauthorized,
    UnknownField,
    UnknownInstrument,
    UnknownOption,
    UnsupportedMedia,
    UnusableWebhook,
    WebhooksDisabled,
)
from duetto._progress import Progress
from duetto._separation import Separation, Stem
from duetto._version import __version__

__all__ = [
    "DEFAULT_SERVER",
    "AsyncClient",
    "BodyTooLarge",
    "BrokerFull",
    "BrokerUnavailable",
    "Client",
    "ConfigurationError",
    "ConflictingInput",
    "CorruptZip",
    "DamagedDownload",
    "EmptyFile",
    "Error",
    "Failure",
    "FilesGone",
    "IdempotencyKeyReused",
    "IllegalTransition",
    "InternalError",
    "InvalidAnswer",
    "InvalidCursor",
    "InvalidRequest",
    "Job",
    "JobCanceled",
    "JobExpired",
    "JobFailed",
    "JobNotFound",
    "JobNotSucceeded",
    "MalformedBody",
    "MethodNotAllowed",
    "MissingInput",
    "NotAFile",
    "NotFound",
    "NotInTime",
    "Options",
    "OtherFormat",
    "PackageMissing",
    "Picture",
    "Problem",
    "Progress",
    "QueueFull",
    "QuotaExceeded",
    "RangeNotSatisfiable",
    "Separation",
    "ServerBusy",
    "ServerSilent",
    "ServerStopping",
    "ServerUnreachable",
    "Stem",
    "StemNotReady",
    "StorageFull",
    "StorageUnavailable",
    "TooManyImages",
    "Unauthorized",
    "UnknownField",
    "UnknownInstrument",
    "UnknownOption",
    "UnsupportedMedia",
    "UnusableFile",
    "UnusableKey",
    "UnusableWebhook",
    "WebhooksDisabled",
    "__version__",
]

# Users know these classes as `duetto.X`, so errors and representations should say that.
for _name in __all__:
    if isinstance(_thing := globals()[_name], type):
        _thing.__module__ = __name__
del _name, _thing
