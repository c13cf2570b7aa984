"""Run examples/notebook.ipynb and keep what it shows, without its sounds: ``python examples/make_notebook.py``."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")
MOST_BYTES = 1 << 20
_AUDIO = re.compile(r"<audio\b[^>]*></audio>")


def run(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run all cells in a kernel of their own, in this folder. Raises `CellExecutionError` if one fails."""
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    result: nbformat.NotebookNode = client.execute()
    return result


def without_sounds(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take the sounds out of what a notebook shows, and when it was run."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "data" in output and "text/html" in output.data:
                output.data["text/html"] = _AUDIO.sub("", output.data["text/html"])
    return notebook


if __name__ == "__main__":
    done = without_sounds(run(nbformat.read(NOTEBOOK, 4)))
    text = nbformat.writes(done) + "\n"
    if len(text) > MOST_BYTES:
        raise SystemExit(f"the notebook would have {len(text):,} bytes, more than {MOST_BYTES:,}")
    NOTEBOOK.write_text(text, encoding="utf-8")
