// The desk below the film: play and seek, and a track for each player with its fader, mute, solo and waveform.

import {jobUrl} from "./api.js";
import {capital, clock, h, icon, percent, pretty} from "./dom.js";
import {drawWaveform} from "./waveform.js";

const PLAY = "M7 4.5v15l13-7.5z";
const PAUSE = "M6 4.5h4.5v15H6zm7.5 0H18v15h-4.5z";
const SPEEDS = [[1, "1 ×"], [0.75, "¾ ×"], [0.5, "½ ×"]];
const JUMP_S = 5;
const METER_DB = 50;
const FALL = 0.93;          // of the meter's level, a frame

// Build the desk of a job's player. Returns its element, `draw` for each frame, `recolour` and `close`.
export function buildDesk(job, result, player) {
  const names = {left: pretty(result.labels.left.instrument), right: pretty(result.labels.right.instrument)};
  if (names.left === names.right) for (const side of ["left", "right"]) names[side] += ` on the ${side}`;
  const length = result.sound.duration_s;
  const play = h("button", {type: "button", className: "first play", onclick: () => player.toggle()});
  const time = h("span", {className: "time"});
  const seek = h("input", {type: "range", className: "seek", min: 0, max: length, step: 0.1, value: 0, "aria-label": "Position"});
  seek.addEventListener("input", () => player.seek(Number(seek.value)));
  const speed = h("select", {}, ...SPEEDS.map(([value, text]) => new Option(text, value)));
  speed.addEventListener("change", () => player.setSpeed(Number(speed.value)));
  const outline = result.sound.waveform;
  const most = outline ? Math.max(...outline.left, ...outline.right) : 1;
  const tracks = ["left", "right"].map(side => buildTrack(side, {job, name: names[side], player, outline, most, length}));

  let shown = "";
  let isPlaying = null;
  function draw() {
    const now = player.time;
    const text = `${clock(now)} / ${clock(Math.round(length))}`;
    const levels = player.levels;
    for (const track of tracks) track.moveTo(now, levels);
    if (text !== shown) {
      shown = time.textContent = text;
      seek.value = now;
      seek.setAttribute("aria-valuetext", `${clock(now)} of ${clock(Math.round(length))}`);
    }
    if (player.playing === isPlaying) return;
    isPlaying = player.playing;
    play.replaceChildren(icon(isPlaying ? PAUSE : PLAY));
    play.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  const element = h("div", {className: "card desk", role: "group", "aria-label": "Both players"},
    h("div", {className: "transport"}, play, time, seek, h("label", {}, h("span", {className: "hidden", textContent: "Speed"}), speed)),
    ...tracks.map(track => track.element),
    h("p", {className: "keys"}, ...[["Space", "play"], ["←", `back ${JUMP_S} s`], ["→", `on ${JUMP_S} s`], ["1", `${names.left} alone`],
      ["2", `${names.right} alone`], ["0", "both"]].map(([key, does]) => h("span", {}, h("kbd", {textContent: key}), " " + does))));
  draw();
  return {
    element, draw,
    recolour: () => tracks.forEach(track => track.recolour()),
    close: () => tracks.forEach(track => track.close()),
  };
}

function buildTrack(side, {job, name, player, outline, most, length}) {
  const toggle = (what, letter) => {
    const button = h("button", {type: "button", className: what, textContent: letter, "aria-pressed": "false",
      "aria-label": `${capital(what)} ${name}`, title: what === "solo" ? `Hear the ${name} alone` : `Mute the ${name}`});
    button.addEventListener("click", () => player.set(side, {[what]: !player.sides[side][what]}));
    return button;
  };
  const [mute, solo] = [toggle("mute", "M"), toggle("solo", "S")];
  const fader = h("input", {type: "range", min: 0, max: 1, step: 0.01, value: 1, "aria-label": `Volume of the ${name}`});
  fader.addEventListener("input", () => player.set(side, {level: Number(fader.value)}));
  const suffix = "." + job.options.format;
  const save = h("a", {href: `${jobUrl(job.id)}/stems/${side}${suffix}`, download: `${side}_${name.replaceAll(" ", "_")}${suffix}`,
    className: "download", textContent: "Download", "aria-label": `Download the ${name}`});
  const meter = h("i");
  const box = h("div", {className: "wave", "aria-hidden": "true"});
  const element = h("div", {className: `track ${side}`, role: "group", "aria-label": `${capital(name)}, on the ${side}`},
    h("div", {}, h("p", {className: "track-name"}, h("span", {textContent: capital(name)}), save), h("div", {className: "mix"}, mute, solo, fader),
      h("div", {className: "meter", "aria-hidden": "true"}, meter)),
    box);
  const show = () => {
    mute.setAttribute("aria-pressed", player.sides[side].mute);
    solo.setAttribute("aria-pressed", player.sides[side].solo);
    fader.setAttribute("aria-valuetext", percent(player.sides[side].level));
    element.classList.toggle("silent", !player.isHeard(side));
  };
  player.addEventListener("change", show);
  show();
  let wave = null;
  let level = 0;
  let at = null;
  const moveTo = (now, levels) => {
    if (wave && now !== at) wave.moveTo(at = now);
    // Up at once, down slowly, as meters do; 50 dB wide.
    level = Math.max(levels[side], level * FALL);
    meter.style.transform = `scaleX(${Math.max(0, 1 + 20 * Math.log10(level + 1e-6) / METER_DB)})`;
  };
  // Once it has a place on the page, whose width it needs.
  const placed = new ResizeObserver(() => {
    if (!outline || !box.clientWidth) return;
    placed.disconnect();
    wave = drawWaveform(box, {peaks: outline[side], most, length, colour: `--${side}`, onSeek: at => player.seek(at)});
  });
  placed.observe(box);
  return {element, moveTo, recolour: () => wave?.recolour(), close: () => { placed.disconnect(); wave?.close(); }};
}

// Keys that what has the focus takes itself: whoever has pressed a button goes on with the other keys.
const TAKEN = [["select, textarea, dialog, input:not([type=range])", () => true], ["input", key => key.startsWith("Arrow")],
  ["button, a, summary", key => key === " "]];

export function keyPressed(event, player) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (TAKEN.some(([elements, takes]) => takes(event.key) && event.target.closest(elements))) return;
  const alone = side => {
    for (const other of ["left", "right"]) player.set(other, {solo: other === side, mute: false});
  };
  const actions = {
    " ": () => player.toggle(), ArrowLeft: () => player.seek(player.time - JUMP_S), ArrowRight: () => player.seek(player.time + JUMP_S),
    1: () => alone("left"), 2: () => alone("right"), 0: () => alone(null),
  };
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}
