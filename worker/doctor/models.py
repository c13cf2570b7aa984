"""Looks at what the models need: bases, network and the weights of the taggers, each by its hash where one is known."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Final

from app.doctor.finding import Finding, Findings, ok, problem, warning
from app.settings import Settings
from models.errors import InvalidBases
from models.hearing import LISTENER_WEIGHTS, load_listener
from models.separators import NAMES as SEPARATORS
from models.separators import WEIGHTS_OF, get_separator
from models.taggers import AUTO, REGISTRY, TaggerEntry

MODELS: Final = "models"


def check_models(settings: Settings) -> Findings:
    """Look at all of them. Downloads nothing."""
    shipped = _hashes_at_installation()
    for name in SEPARATORS:
        yield _check_separator(name, shipped)
    for entry in REGISTRY.values():
        yield _check_tagger(entry, settings)
    yield _check_listener(shipped)


def _check_separator(name: str, shipped: dict[Path, str]) -> Finding:
    try:
        get_separator(name)
    except InvalidBases as error:
        return problem(MODELS, f"separator {name}: {error}. Install Duetto anew")
    return _as_installed(f"separator {name}", WEIGHTS_OF[name], shipped)


def _check_listener(shipped: dict[Path, str]) -> Finding:
    try:
        load_listener()
    except InvalidBases as error:
        return problem(MODELS, f"listener: {error}. Install Duetto anew")
    return _as_installed("listener", LISTENER_WEIGHTS, shipped)


def _as_installed(what: str, files: tuple[Path, ...], shipped: dict[Path, str]) -> Finding:
    told = []
    for file in files:
        known, digest = shipped.get(file.resolve()), _sha256(file)
        if known is not None and known != digest:
            return problem(MODELS, f"{what}: {file.name} is not the file that was installed. Install Duetto anew")
        told.append(f"{file.name} is {'as installed' if known else 'readable'} (sha256 {digest[:12]})")
    return ok(MODELS, f"{what}: {', '.join(told)}")


def _check_tagger(entry: TaggerEntry, settings: Settings) -> Finding:
    named = settings.densenet161_weights if entry.name == "densenet161" else None
    cached = settings.cache_dir / "weights" / entry.weights_file
    path = named or (Path(entry.packaged_weights()) if entry.packaged_weights else cached)
    try:
        digest = _sha256(path)
    except OSError:
        return _missing(entry, settings, named)
    # A file that the operator names may be of another kind, such as safetensors; loading it tells.
    if named is None and not digest.startswith(entry.sha256_prefix):
        return problem(MODELS, f"tagger {entry.name}: {path} is damaged: remove it, and it is fetched anew")
    return ok(MODELS, f"tagger {entry.name}: weights are there (sha256 {digest[:12]})")


def _missing(entry: TaggerEntry, settings: Settings, named: Path | None) -> Finding:
    if named is not None:
        return problem(MODELS, f"tagger {entry.name}: DUETTO_DENSENET161_WEIGHTS names {named}, which cannot be read")
    if entry.packaged_weights is not None:
        return problem(MODELS, f"tagger {entry.name}: its package has no weights: install Duetto anew")
    place = settings.cache_dir / "weights" / entry.weights_file
    if not settings.offline:
        return ok(MODELS, f"tagger {entry.name}: weights are downloaded when a job first wants them, to {place}")
    if settings.tagger == entry.name:
        return problem(
            MODELS,
            f"tagger {entry.name} is DUETTO_TAGGER, its weights are not here, and DUETTO_OFFLINE forbids to download "
            f"them: put the file at {place}, or unset one of the two",
        )
    instead = "; `auto` takes another" if settings.tagger == AUTO else ""
    return warning(
        MODELS,
        f"tagger {entry.name}: no weights here, and DUETTO_OFFLINE is set, so jobs that name it fail{instead}: put the "
        f"file at {place}",
    )


def _hashes_at_installation() -> dict[Path, str]:
    """Return the SHA-256 of every file of ours as the wheel had it; nothing for a source tree."""
    try:
        files = importlib.metadata.files("duetto") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = {}
    for file in files:
        if file.hash is not None and file.hash.mode == "sha256":
            # Without its padding, as wheels write it.
            digest = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4)).hex()
            found[Path(str(file.locate())).resolve()] = digest
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
