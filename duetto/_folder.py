"""Where what was downloaded lies."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from duetto._errors import UnusableFile
from duetto._options import PathLike


def check_output(output: PathLike | None) -> None:
    """Raise `UnusableFile` if `output` is there and no folder."""
    if output is not None and Path(output).exists() and not Path(output).is_dir():
        raise UnusableFile(f"{output} is a file; choose a folder for the stems")


class Folder:
    """Where stems and pictures lie. Without `output` a temporary one, which goes with the last object that needs it."""

    def __init__(self, output: PathLike | None) -> None:
        check_output(output)
        try:
            if output is None:
                self.path = Path(tempfile.mkdtemp(prefix="duetto-"))
                weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
            else:
                self.path = Path(output)
                self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnusableFile(f"cannot write {output or tempfile.gettempdir()}: {error.strerror}") from error
