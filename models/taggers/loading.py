"""From a tagger's name to a tagger with weights: out of a package, a setting, the cache, or a download."""

from __future__ import annotations

import hashlib
import logging
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from models.device import CPU, resolve_device
from models.download import Progress, fetch
from models.errors import InvalidBases, WeightsUnavailable
from models.taggers.network import NetworkTagger
from models.taggers.registry import AUTO, NAMES, REGISTRY, TaggerEntry

logger = logging.getLogger(__name__)


def load_tagger(
    name: str = AUTO,
    *,
    weights: dict[str, Path] | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    device: str = CPU,
) -> NetworkTagger:
    """Return a tagger that is ready to classify.

    Parameters
    ----------
    name : str
        One of :data:`models.taggers.NAMES`, or "auto": DenseNet-161, the report's network, where its
        weights are at hand or can be had, else EfficientNet-Lite2, whose weights are always there.
    weights : dict of str to Path, optional
        Weights files by tagger name, in place of package, cache and download.
    cache_dir : Path, optional
        Where downloads are kept. Without it nothing is downloaded.
    offline : bool
        Never download.
    progress : callable, optional
        Called with (bytes done, bytes in all or None) during a download.
    device : str
        Where it runs: "cpu", "cuda", or "auto", the GPU if there is one. See :mod:`models.device`.

    Raises
    ------
    ValueError
        If no tagger, or no device, has that name.
    DeviceUnavailable
        If the device is not there; looked at before any weights.
    WeightsUnavailable
        If the weights are neither on this machine nor to be had.
    InvalidBases
        If a weights file is damaged or another network's.
    """
    place = resolve_device(device)
    if name == AUTO:
        if weights and "densenet161" in weights:
            # Whoever names a file wants that network: a mistake in it must show.
            return _load(REGISTRY["densenet161"], weights, cache_dir, offline, progress, place)
        try:
            return _load(REGISTRY["densenet161"], None, cache_dir, offline, progress, place)
        except WeightsUnavailable as error:
            logger.info("auto takes efficientnet-lite2: %s", error)
            return _load(REGISTRY["efficientnet-lite2"], weights, cache_dir, offline, progress, place)
    if name not in REGISTRY:
        raise ValueError(f"no tagger is called {name!r}; there are {', '.join((AUTO, *NAMES))}")
    return _load(REGISTRY[name], weights, cache_dir, offline, progress, place)


def _load(
    entry: TaggerEntry,
    weights: dict[str, Path] | None,
    cache_dir: Path | None,
    offline: bool,
    progress: Progress | None,
    device: torch.device,
) -> NetworkTagger:
    named = (weights or {}).get(entry.name)
    path = named or _find(entry, cache_dir, offline, progress)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise WeightsUnavailable(f"the weights file for {entry.name}, {path.name}, cannot be read") from None
    network = entry.build()
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(entry.convert(state))
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise InvalidBases(f"{path.name} does not hold the weights of {entry.name}; copy the file anew") from error
    return NetworkTagger(entry, network, digest, device)


def _find(entry: TaggerEntry, cache_dir: Path | None, offline: bool, progress: Progress | None) -> Path:
    if entry.packaged_weights is not None:
        return Path(entry.packaged_weights())
    cached = cache_dir / "weights" / entry.weights_file if cache_dir else None
    if cached is not None and cached.is_file():
        return cached
    if offline or cached is None or entry.weights_url is None:
        raise WeightsUnavailable(
            f"the weights of {entry.name} ({entry.weights_file}) are not on this machine and downloads are off; "
            "put the file into the cache folder's weights/, or name it by the setting for its weights"
        )
    fetch(entry.weights_url(), cached, sha256_prefix=entry.sha256_prefix, progress=progress)
    return cached
