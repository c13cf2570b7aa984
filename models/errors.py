"""Everything that `models` raises on purpose.

::

    ModelsError
    ├── UnknownInstrument     a name that is not one of the eight
    ├── InvalidAudio          not finite, wrong shape, wrong rate
    ├── InvalidBases          a bases or weights file that is damaged or of another geometry
    ├── InvalidPicture        a frame that is no picture
    ├── PlayersUnclear        no two different instruments that could be told apart
    ├── PlayersAlike          two players of one instrument, whom nothing else tells apart
    ├── WeightsUnavailable    a network's weights are neither here nor to be had
    ├── DeviceUnavailable     a GPU that is not there, or that PyTorch cannot use
    ├── TrainingDataError     solos that nothing can be learnt from
    ├── SourceUnavailable     a training source that could not be fetched
    └── Stopped               the caller's should_stop() said so
"""

from __future__ import annotations


class ModelsError(Exception):
    """Base of every error that `models` raises on purpose."""


class UnknownInstrument(ModelsError, ValueError):  # noqa: N818 - named for what happened
    """The name is not one of the eight instruments."""


class InvalidAudio(ModelsError, ValueError):  # noqa: N818
    """Samples that cannot be separated: not finite, wrong shape or wrong rate."""


class InvalidBases(ModelsError, ValueError):  # noqa: N818
    """A bases or weights file that is damaged, of another geometry or of another version."""


class InvalidPicture(ModelsError, ValueError):  # noqa: N818
    """A frame that is not an 8-bit RGB picture of a usable size."""


class PlayersUnclear(ModelsError):  # noqa: N818
    """Picture and sound do not show two different instruments; the message says what they show, and what to do."""


class PlayersAlike(ModelsError):  # noqa: N818
    """Both players play the same instrument, and nothing else parts them; the message says why not."""


class WeightsUnavailable(ModelsError):  # noqa: N818
    """A network's weights are neither on this machine nor to be had."""


class DeviceUnavailable(ModelsError):  # noqa: N818
    """The device that a network is to run on is not there."""


class TrainingDataError(ModelsError, ValueError):
    """The solos are missing, too short or unreadable."""


class SourceUnavailable(ModelsError):  # noqa: N818
    """A training source could not be fetched or unpacked."""


class Stopped(ModelsError):  # noqa: N818
    """`should_stop` returned true; what was half done has been dropped."""
