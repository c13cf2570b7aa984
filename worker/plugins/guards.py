"""What stands between a plugin and the pipeline: its errors become failures that name it, and what it gives is checked.

Sent to another process, a guard is not copied but made anew there: a plugin need not be fit for pickling.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.plugins import Plugin
from models import parallel
from models.instruments import INSTRUMENTS
from models.separators import Separator, SoundSeparator
from models.taggers import Tagger
from worker.errors import PluginFailed
from worker.failures import is_expected
from worker.plugins.fit import facts

logger = logging.getLogger(__name__)

ShouldStop = Callable[[], bool]
Again = tuple[Callable[..., Any], tuple[Any, ...]]

_ROUNDING = 1e-4  # by which a share may pass 0 or 1


class _Guard:
    def __init__(self, plugin: Plugin, again: Again) -> None:
        """`again`: a function, and its arguments, that makes the same guard in another process."""
        self.name = plugin.name
        self._plugin = plugin
        self._again = again

    def __reduce__(self) -> Again:
        return self._again

    @property
    def _package(self) -> dict[str, str]:
        return {"package": self._plugin.package, "version": self._plugin.version}

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Whatever is raised within is the plugin's, unless it is meant for the user. It has all threads of the job."""
        try:
            with parallel.all_threads():
                yield
        except (Exception, SystemExit) as error:
            if is_expected(error):
                raise
            logger.exception("the %s failed", self._plugin)
            raise self._failure(f"failed ({type(error).__name__})") from error

    def _numbers(self, given: object, shape: tuple[int, ...], what: str) -> NDArray[np.float32]:
        """What the plugin gave as finite float32 of that shape; a copy, for it may use its own array again."""
        with self._blamed():
            numbers = np.array(given, dtype=np.float32)
        if numbers.shape != shape:
            raise self._failure(f"gave {what} of shape {numbers.shape} where {shape} was wanted")
        if not np.isfinite(numbers).all():
            raise self._failure(f"gave {what} that holds values that are no numbers")
        return numbers

    def _shares(self, given: object, shape: tuple[int, ...], what: str) -> NDArray[np.float32]:
        """The same from 0 to 1."""
        shares = self._numbers(given, shape, what)
        least, most = float(shares.min(initial=0.0)), float(shares.max(initial=0.0))
        if least < -_ROUNDING or most > 1 + _ROUNDING:
            raise self._failure(f"gave {what} from {least:.3g} to {most:.3g} where 0 to 1 was wanted")
        return shares.clip(0.0, 1.0)

    def _failure(self, what: str) -> PluginFailed:
        kind = self._plugin.kind
        return PluginFailed(
            f"The {self._plugin}, a package that was added to the server, {what}. "
            f"Choose another {kind}, or report it to the makers of that package."
        )


class _SeparatorGuard(_Guard):
    def __init__(self, plugin: Plugin, inner: Separator | SoundSeparator, again: Again) -> None:
        super().__init__(plugin, again)
        self.parameters = facts(inner, "parameters") | {"plugin": self._package}
        self.provenance = facts(inner, "provenance")


class GuardedSeparator(_SeparatorGuard):
    """A plugin's :class:`models.separators.Separator`."""

    def __init__(self, plugin: Plugin, inner: Separator, again: Again) -> None:
        super().__init__(plugin, inner, again)
        self._inner = inner
        self.block_frames = inner.block_frames
        self.overlap_frames = inner.overlap_frames

    def mask(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        """See :meth:`models.separators.Separator.mask`. Raises `PluginFailed` if the plugin does."""
        with self._blamed():
            given = self._inner.mask(V.copy(), left, right, should_stop)
        return self._shares(given, V.shape, "a mask")


class GuardedSoundSeparator(_SeparatorGuard):
    """A plugin's :class:`models.separators.SoundSeparator`."""

    def __init__(self, plugin: Plugin, inner: SoundSeparator, again: Again) -> None:
        super().__init__(plugin, inner, again)
        self._inner = inner
        self.sample_rate = inner.sample_rate
        self.block_samples = inner.block_samples
        self.overlap_samples = inner.overlap_samples

    def stem(
        self, sound: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        """See :meth:`models.separators.SoundSeparator.stem`. Raises `PluginFailed` if the plugin does."""
        with self._blamed():
            given = self._inner.stem(sound.copy(), left, right, should_stop)
        return self._numbers(given, sound.shape, "a stem")


class GuardedTagger(_Guard):
    """A plugin's :class:`models.taggers.Tagger`."""

    def __init__(self, plugin: Plugin, inner: Tagger, again: Again) -> None:
        super().__init__(plugin, again)
        self._inner = inner
        self.provenance = {**facts(inner, "provenance"), "name": self.name, "plugin": self._package}
        self._size: tuple[int, ...] | None = None

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See :meth:`models.taggers.Tagger.prepare`. Raises `PluginFailed` if the plugin does."""
        with self._blamed():
            prepared = np.asarray(self._inner.prepare(picture))
        self._size = self._size or prepared.shape
        if prepared.shape != self._size:
            raise self._failure(f"prepared pictures of shapes {self._size} and {prepared.shape} where one was wanted")
        return prepared

    def probabilities(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`models.taggers.Tagger.probabilities`. Raises `PluginFailed` if the plugin does."""
        with self._blamed():
            given = self._inner.probabilities(prepared)
        return self._shares(given, (len(prepared), len(INSTRUMENTS)), "probabilities")
