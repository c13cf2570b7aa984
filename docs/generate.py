"""Write docs/configuration.md from the settings class: ``python docs/generate.py``. A test holds the two equal."""

from __future__ import annotations

from pathlib import Path

from app.settings import Settings

HEAD = """# Configuration

Every setting is an environment variable. `duetto serve`, `duetto separate`, the containers and the workers read the
same ones. This page is generated from `app/settings.py`: edit that, then run `python docs/generate.py`.

| variable | default | what it does |
|---|---|---|
"""
HOMES = {
    "data_dir": "`~/.local/share/duetto`",
    "cache_dir": "`~/.cache/duetto`",
}


def configuration() -> str:
    """Return the page."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = HOMES.get(name, "none" if field.default is None else f"`{field.default}`")
        rows.append(f"| `DUETTO_{name.upper()}` | {default} | {field.description} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    Path(__file__).with_name("configuration.md").write_text(configuration(), encoding="utf-8")
