// The outline of a stem, drawn by wavesurfer.js from the peaks of the result: nothing is downloaded or decoded for it.

import WaveSurfer from "./vendor/wavesurfer.js";

const HEIGHT = 72;

// Draw `peaks` (0 to 1, the loudest of all `most`) into `box`; `onSeek` is told the second that was pressed.
export function drawWaveform(box, {peaks, most, length, colour, onSeek}) {
  const style = () => {
    const of = name => getComputedStyle(box).getPropertyValue(name).trim();
    return {waveColor: mixed(of(colour), of("--sunk")), progressColor: of(colour), cursorColor: of("--ink")};
  };
  const surfer = WaveSurfer.create({
    container: box, height: HEIGHT, peaks: [peaks], maxPeak: most || 1, duration: length,
    cursorWidth: 2, barWidth: 2, barGap: 1, barRadius: 2, barMinHeight: 1, dragToSeek: true, ...style(),
  });
  surfer.on("interaction", onSeek);
  surfer.on("drag", share => onSeek(share * length));
  return {
    moveTo: time => surfer.setTime(time),
    recolour: () => surfer.setOptions(style()),
    close: () => surfer.destroy(),
  };
}

// Half of one colour, half of the other; a canvas does not know color-mix() everywhere.
function mixed(one, other) {
  const channels = hex => [1, 3, 5].map(place => parseInt(hex.slice(place, place + 2), 16));
  const [a, b] = [channels(one), channels(other)];
  return `rgb(${a.map((value, place) => Math.round(0.55 * value + 0.45 * b[place])).join(" ")})`;
}
