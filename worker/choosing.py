"""Which separator a job gets: the one that was asked for, or, for two players of one instrument, their positions."""

from __future__ import annotations

from app.jobs.record import JobOptions
from app.methods import BUILT_IN, Kind
from models.panning import find_positions
from models.separators import AnySeparator, ByPosition
from worker.engines import Engines
from worker.levels import ShouldStop, sounding
from worker.media.kept import KeptSound


def separator_for(sound: KeptSound, options: JobOptions, engines: Engines, should_stop: ShouldStop) -> AnySeparator:
    """Return what separates this job's players.

    Duetto's own separators know instruments, which two players of one instrument share; so these are parted by where
    they sit in the stereo image. A plugin may know better, and is asked as it is.

    Raises
    ------
    PlayersAlike
        If both sides are named alike and the recording shows no two positions.
    JobFailure
        Whatever is wrong with the sound; Canceled if `should_stop` returned true.
    ModelsError, ConfigurationError
        What :meth:`worker.engines.Engines.separator` raises.
    """
    separator = engines.separator(options.separator)
    if options.left is None or options.left != options.right or separator.name not in BUILT_IN[Kind.SEPARATOR]:
        return separator
    blocks = sounding(sound.blocks(), should_stop)
    return ByPosition(find_positions(blocks, sound.sample_rate, sound.channels), sound.sample_rate)


def notes_on(separator: AnySeparator, instrument: str) -> list[str]:
    """Say what to know of stems that were parted by position; nothing of others."""
    if not isinstance(separator, ByPosition):
        return []
    name = instrument.replace("_", " ")
    note = (
        f"Both players play {name}: they are told apart by their places in the stereo image alone, and whoever sounds "
        "from the left is given as the left one. If camera and microphones faced different ways, swap them."
    )
    return [note]
