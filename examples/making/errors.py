"""Everything that making the example raises on purpose.

::

    ExampleError
    ├── SourceUnavailable    a package that could not be fetched or does not hold what it should
    └── CheckFailed          what was made is not what it should be
"""

from __future__ import annotations


class ExampleError(Exception):
    """Base of every error that making the example raises on purpose."""


class SourceUnavailable(ExampleError):  # noqa: N818 - named for what happened
    """A package could not be fetched, or does not hold the file that is wanted."""


class CheckFailed(ExampleError):  # noqa: N818 - named for what happened
    """The finished duet is out of line with its stems, or an instrument is not recognised."""
