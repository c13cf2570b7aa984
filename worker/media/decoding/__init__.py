"""Decoding: all that opens uploaded bytes. It runs in a child process, never in the worker's own.

The worker reaches it through `worker.media.probe`, `worker.media.sound` and `worker.media.frames`, which
start ``python -m worker.media.decoding``. Nothing here imports torch or the settings, so that it starts quickly.
"""
