"""The example duet, 640 x 360, repeated to any length without coding anything anew."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from worker.example_duet import example_duet


def looped_duet(target: Path, seconds: float) -> Path:
    """Write the example from its beginning again and again, `seconds` of it, to the mp4 `target`; return that."""
    begin = Fraction(0)
    with av.open(str(example_duet().video)) as first, av.open(str(target), "w") as out:
        tracks = [out.add_stream_from_template(stream) for stream in first.streams]
        while begin < seconds:
            end = begin
            with av.open(str(example_duet().video)) as source:
                for packet in source.demux():
                    if packet.pts is None or packet.dts is None or packet.time_base is None or packet.duration is None:
                        continue  # the end of a stream
                    stop = begin + (packet.pts + packet.duration) * packet.time_base
                    # Priming of the sound, which only the beginning has; and what is too much.
                    if (packet.pts < 0 and begin) or stop > seconds:
                        continue
                    end = max(end, stop)
                    shift = round(begin / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = tracks[packet.stream.index]
                    out.mux(packet)
            if end == begin:
                break
            begin = end
    return target
