"""The command line: how commands are found, what is imported, how failures read."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
    "duetto.commands"
]

ODD_COMMANDS = {
    "odd_fails.py": """
        from app.errors import DuettoError
        HELP = "Fails in a way that it knows."
        def add_arguments(parser): parser.add_argument("--kind", default="known")
        class OwnError(Exception): pass
        ERRORS = (OwnError,)
        def run(args):
            if args.kind == "own": raise OwnError("the own reason")
            if args.kind == "interrupt": raise KeyboardInterrupt
            if args.kind == "bug": raise RuntimeError("a bug")
            raise DuettoError("what was wrong")
    """,
    "odd_broken.py": """
        HELP = "Cannot even be imported."
        import a_module_that_does_not_exist
    """,
}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that holds an installed distribution offering pyproject's commands and two odd ones."""
    for name, text in ODD_COMMANDS.items():
        (tmp_path / name).write_text("\n".join(line[8:] for line in text.splitlines()))
    points = ENTRY_POINTS | {"odd-fails": "odd_fails", "odd-broken": "odd_broken"}
    metadata = tmp_path / "duetto_test-9.9.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: duetto-test\nVersion: 9.9\n")
    lines = "\n".join(f"{name} = {module}" for name, module in points.items())
    (metadata / "entry_points.txt").write_text(f"[duetto.commands]\n{lines}\n")
    return tmp_path


def duetto(installed: Path, *arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own; `code` runs after it, with its exit status in `status`."""
    script = f"import sys\nfrom app.cli import main\nstatus = main(sys.argv[1:])\n{code}\nsys.exit(status)\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_every_command_and_imports_none(installed: Path) -> None:
    packages = "loaded = [m for m in sys.modules if m.split('.')[0] in ('torch', 'worker', 'models', 'odd_broken')]"
    done = duetto(installed, "--help", code=f"{packages}\nassert not loaded, loaded")
    assert done.returncode == 0, done.stderr
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert set(ENTRY_POINTS) < set(listed)
    serve_line = next(line for line in done.stdout.splitlines() if line.startswith("  serve "))
    assert "Start everything" in serve_line
    assert "Cannot even be imported." in done.stdout


def test_no_arguments_show_the_same_help(installed: Path) -> None:
    assert duetto(installed).stdout == duetto(installed, "--help").stdout


@pytest.mark.parametrize("command", ["serve", "submit"])
def test_commands_of_the_web_side_load_no_torch(installed: Path, command: str) -> None:
    heavy = "('torch', 'worker', 'models', 'librosa', 'celery')"
    done = duetto(
        installed,
        command,
        "--help",
        code=f"loaded = {{m.split('.')[0] for m in sys.modules}} & set({heavy})\nassert not loaded, loaded",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: duetto {command}")


def test_unknown_command_suggests_the_near_one(installed: Path) -> None:
    done = duetto(installed, "sevre")
    assert done.returncode == 2
    assert "there is no command 'sevre'. Did you mean serve" in done.stderr


def test_unknown_option_is_a_usage_error(installed: Path) -> None:
    done = duetto(installed, "serve", "--prot", "1")
    assert done.returncode == 2
    assert "unrecognized arguments: --prot" in done.stderr


def test_version(installed: Path) -> None:
    done = duetto(installed, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("duetto ")


@pytest.mark.parametrize(("kind", "message"), [("known", "what was wrong"), ("own", "the own reason")])
def test_known_errors_are_one_message(installed: Path, kind: str, message: str) -> None:
    done = duetto(installed, "odd-fails", "--kind", kind)
    assert done.returncode == 1
    assert done.stderr == f"duetto: {message}\n"


def test_bugs_keep_their_traceback(installed: Path) -> None:
    done = duetto(installed, "odd-fails", "--kind", "bug")
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert "Traceback" in done.stderr


def test_interrupt_exits_130_in_silence(installed: Path) -> None:
    done = duetto(installed, "odd-fails", "--kind", "interrupt")
    assert done.returncode == 130
    assert done.stderr == ""


def test_submit_without_server_says_how_to_start_one(installed: Path, tmp_path: Path) -> None:
    video = tmp_path / "duet.mp4"
    video.write_bytes(b"not looked at")
    done = duetto(installed, "submit", str(video), "--server", "http://127.0.0.1:1", "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.endswith(
        "duetto: no Duetto server answers at http://127.0.0.1:1 (Connection refused); start one with `duetto serve`, "
        "or give another address\n"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_submit_passes_the_webhook_on(installed: Path, tmp_path: Path, client: httpx.Client) -> None:
    video = tmp_path / "duet.mp4"
    video.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(1000))
    server = ("--server", str(client.base_url), "-o", str(tmp_path / "out"))
    done = duetto(installed, "submit", str(video), *server, "--webhook", "https://example.org/hook")
    assert done.returncode == 1
    assert "`webhook_url`: this server has no secret to sign webhooks with" in done.stderr
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_submit_of_a_file_that_is_not_there(installed: Path, tmp_path: Path) -> None:
    done = duetto(installed, "submit", str(tmp_path / "none.mp4"))
    assert done.returncode == 1
    assert "cannot read" in done.stderr
    assert "No such file" in done.stderr
