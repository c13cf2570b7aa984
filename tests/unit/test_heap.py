"""Heaps: what is freed goes back to the system, and threads do not multiply them."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK_BYTES = 1 << 20
THREADS = 6

# In a process of its own, as what it sets is set for good. A large block is freed, then another one asked for: glibc,
# left alone, has by then learnt to keep such blocks. And threads that allocate at once get as many heaps as there may
# be.
SCRIPT = f"""
import ctypes, json, sys, tempfile, threading, xml.etree.ElementTree as xml
from app.heap import keep_heap_small

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]

def told():
    with tempfile.NamedTemporaryFile() as file:
        stream = libc.fopen(file.name.encode(), b"w")
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        return xml.parse(file.name).getroot()

def mapped():
    return int(told().find("total[@type='mmap']").get("size"))

if sys.argv[1] == "small":
    keep_heap_small()
libc.free(libc.malloc({BLOCK_BYTES}))
before = mapped()
block = libc.malloc({BLOCK_BYTES})
grown = mapped() - before
barrier = threading.Barrier({THREADS})
def allocate():
    barrier.wait()
    libc.free(libc.malloc(1000))
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({{"mapped": grown, "heaps": len(told().findall("heap"))}}))
"""


def counted(how: str) -> dict[str, Any]:
    """What a process says that has small heaps, or as they come."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    counts: dict[str, Any] = json.loads(done.stdout)
    return counts


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="only glibc tells of its heaps")
def test_large_blocks_go_back_and_threads_share_two_heaps() -> None:
    ordinary, small = counted("ordinary"), counted("small")
    assert ordinary["mapped"] == 0
    assert small["mapped"] >= BLOCK_BYTES
    assert ordinary["heaps"] > 2
    assert small["heaps"] == 2


# Small blocks, of which one in a hundred stays: all that is free lies between others.
FRAGMENTS = """
import ctypes
from pathlib import Path
from app.heap import give_back

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

blocks = [libc.malloc(50_000) for _ in range(2_000)]
for block in blocks:
    ctypes.memset(block, 1, 50_000)
for number, block in enumerate(blocks):
    if number % 100:
        libc.free(block)
before = resident()
give_back()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what is tested is glibc's")
def test_what_lies_free_between_other_blocks_goes_back() -> None:
    asked = subprocess.run([sys.executable, "-c", FRAGMENTS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(asked.stdout) > 80_000_000
