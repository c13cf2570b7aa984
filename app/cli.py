"""The command line: ``duetto COMMAND ...``.

Commands are found by the entry-point group ``duetto.commands``. Each is a module with

- ``HELP``, a string literal: one line for the list of commands,
- ``add_arguments(parser)``,
- ``run(args) -> int``, the exit status,
- optionally ``ERRORS``, a tuple of exception classes whose message is all that the user needs.

Only the command that was called is imported: ``duetto serve`` never loads torch.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from types import ModuleType

from app.errors import DuettoError

GROUP = "duetto.commands"
DISTRIBUTION = "duetto"
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


def find_commands() -> dict[str, EntryPoint]:
    """Return every command that an installed package offers, by name, in alphabetical order. Imports none."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def help_line(point: EntryPoint) -> str:
    """Return a command's HELP, read from its source: importing it could load torch for a line of text."""
    top, *rest = point.module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return ""
    roots = [Path(root, *rest) for root in spec.submodule_search_locations or ()]
    candidates = [source for root in roots for source in (root.with_suffix(".py"), root / "__init__.py")]
    if not rest and spec.origin:
        candidates = [Path(spec.origin)]
    return next((_literal(source, "HELP") for source in candidates if source.is_file()), "")


def _literal(source: Path, name: str) -> str:
    """Return the string that the module at `source` assigns to `name`, or nothing."""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(value, ast.Constant):
            return str(value.value)
    return ""


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "(not installed)"


def _overview(commands: Mapping[str, EntryPoint]) -> str:
    width = max((len(name) for name in commands), default=0)
    lines = [f"  {name:<{width}}  {help_line(point)}".rstrip() for name, point in commands.items()]
    if not lines:
        lines = ["  (none found: install the package, for instance with `pip install -e .`)"]
    return "\n".join(
        (
            "usage: duetto COMMAND ...",
            "",
            "Who plays what on which side of a duet video, and one clean stem for each player.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            "  -h, --help  show this list; `duetto COMMAND --help` explains one command",
            "  --version   show the version",
        )
    )


def _complain(message: str) -> None:
    sys.stderr.write(f"duetto: {message}\n")


def _unknown(name: str, known: Sequence[str]) -> int:
    close = difflib.get_close_matches(name, known, n=3)
    kind = "option" if name.startswith("-") else "command"
    hint = f"Did you mean {' or '.join(close)}?" if close else f"The commands are: {', '.join(known) or 'none'}."
    _complain(f"there is no {kind} {name!r}. {hint} `duetto --help` explains them.")
    return EXIT_USAGE


def _run(name: str, module: ModuleType, arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"duetto {name}", description=module.HELP, allow_abbrev=False)
    module.add_arguments(parser)
    known_errors: tuple[type[Exception], ...] = (DuettoError, *getattr(module, "ERRORS", ()))
    try:
        return int(module.run(parser.parse_args(arguments)))
    except known_errors as error:
        _complain(str(error))
        return EXIT_FAILED


def _dispatch(name: str, arguments: Sequence[str]) -> int:
    commands = find_commands()
    if name in ("-h", "--help", "help"):
        sys.stdout.write(_overview(commands) + "\n")
        return 0
    if name == "--version":
        sys.stdout.write(f"duetto {_version()}\n")
        return 0
    if name not in commands:
        return _unknown(name, list(commands))
    return _run(name, commands[name].load(), arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (the process's arguments by default) names; return the exit status.

    0: done. 1: it failed, with one message on stderr. 2: it was called wrongly. 130: Ctrl-C.
    """
    name, *arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        return _dispatch(name, arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # `duetto ... | head`: the reader has gone. Python would complain once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except SystemExit as stop:  # argparse: --help, or a usage error that it has explained
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED
