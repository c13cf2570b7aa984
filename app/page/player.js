// Plays both stems in step, and the film with them: two audio elements through one Web Audio graph.
//
//   left.wav  -> gain -> analyser \
//                                   -> speakers        the film is mute and follows
//   right.wav -> gain -> analyser /
//
// Both elements start while the graph stands still, so that its first block takes both from the same place; what still
// parts them later (a stalled download, another browser's clock) is made up by playing one of them a little faster.

const SIDES = ["left", "right"];
const STEP_MS = 250;
const FAR_S = 0.25;         // further apart than this, one of them jumps
const SOUND = {near: 0.008, most: 0.03};    // seconds that do not matter, and how much of its speed to catch up with
const FILM = {near: 0.03, most: 0.2};
const FADE_S = 0.015;       // so that a button does not click
const READY = HTMLMediaElement.HAVE_FUTURE_DATA;

export class Player extends EventTarget {
  // `sources`: addresses of both stems; `film`: a video element, or null; `length` in seconds.
  constructor(sources, film, length) {
    super();
    Object.assign(this, {film, length, speed: 1, playing: false});
    this.sides = Object.fromEntries(SIDES.map(side => [side, {level: 1, mute: false, solo: false}]));
    for (const side of SIDES) {
      const sound = new Audio();
      sound.preload = "auto";
      sound.src = sources[side];
      sound.addEventListener("error", () => this.dispatchEvent(new Event("broken")));
      sound.addEventListener("waiting", () => this.#hold());
      sound.addEventListener("canplay", () => this.#release());
      this.sides[side].sound = sound;
    }
    this.sides.left.sound.addEventListener("ended", () => this.#end());
    if (film) film.muted = true;
  }

  get time() { return this.sides.left.sound.currentTime; }

  // The peak that is heard of either player at this moment, 0 to 1.
  get levels() {
    return Object.fromEntries(SIDES.map(side => {
      const {analyser, block} = this.sides[side];
      if (!analyser || !this.playing) return [side, 0];
      analyser.getFloatTimeDomainData(block);
      return [side, block.reduce((most, value) => Math.max(most, Math.abs(value)), 0)];
    }));
  }

  async play() {
    if (this.playing) return;
    this.#connect();
    this.playing = true;
    this.#changed();
    if (this.time >= this.length - 0.05) this.seek(0);
    await this.context.suspend();
    if (!this.playing) return;
    const [left, right] = this.#sounds();
    right.currentTime = left.currentTime;
    for (const sound of [left, right]) {
      sound.playbackRate = this.speed;
      sound.play().catch(() => {});
    }
    if (this.film) {
      this.film.currentTime = left.currentTime;
      this.film.playbackRate = this.speed;
      this.film.play().catch(() => {});
    }
    this.#release();
    this.timer = setInterval(() => this.#keepStep(), STEP_MS);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    clearInterval(this.timer);
    for (const element of [...this.#sounds(), this.film]) element?.pause();
    this.context.suspend();
    this.#changed();
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  seek(time) {
    const place = Math.min(Math.max(0, time), this.length);
    for (const element of [...this.#sounds(), this.film]) if (element) element.currentTime = place;
    if (this.playing) this.#hold();
    this.#changed();
  }

  setSpeed(speed) {
    this.speed = speed;
    for (const element of [...this.#sounds(), this.film]) if (element) element.playbackRate = speed;
  }

  // Change `level` (0 to 1), `mute` or `solo` of a player.
  set(side, change) {
    Object.assign(this.sides[side], change);
    this.#mix();
    this.#changed();
  }

  isHeard(side) {
    const {mute, solo} = this.sides[side];
    return !mute && (solo || !SIDES.some(other => this.sides[other].solo));
  }

  close() {
    this.pause();
    for (const sound of this.#sounds()) {
      const address = sound.src;
      sound.removeAttribute("src");
      sound.load();
      if (address.startsWith("blob:")) URL.revokeObjectURL(address);
    }
    this.context?.close();
  }

  #sounds() { return SIDES.map(side => this.sides[side].sound); }

  #changed() { this.dispatchEvent(new Event("change")); }

  // Only now: browsers let nothing sound before somebody has pressed something.
  #connect() {
    if (this.context) return;
    this.context = new AudioContext({latencyHint: "playback"});
    for (const side of SIDES) {
      const part = this.sides[side];
      part.gain = this.context.createGain();
      part.analyser = this.context.createAnalyser();
      part.block = new Float32Array(part.analyser.fftSize);
      this.context.createMediaElementSource(part.sound).connect(part.gain).connect(part.analyser).connect(this.context.destination);
    }
    this.#mix();
  }

  #mix() {
    for (const side of SIDES) {
      // Squared: loudness then goes about as the fader does.
      this.sides[side].gain?.gain.setTargetAtTime(this.isHeard(side) ? this.sides[side].level ** 2 : 0, this.context.currentTime, FADE_S);
    }
  }

  // One has run dry, or has been moved: all wait until both can go on.
  #hold() {
    if (!this.playing || !this.context) return;
    this.context.suspend();
    this.#release();
  }

  #release() {
    if (!this.playing || !this.#sounds().every(sound => sound.readyState >= READY && !sound.seeking)) return;
    this.context.resume();
  }

  #keepStep() {
    const [left, right] = this.#sounds();
    if (this.context.state === "suspended") return this.#release();
    this.#follow(right, left.currentTime, SOUND);
    if (this.film && !this.film.ended && this.film.readyState >= READY) this.#follow(this.film, left.currentTime, FILM);
  }

  #follow(element, time, {near, most}) {
    const behind = time - element.currentTime;
    if (Math.abs(behind) > FAR_S) element.currentTime = time;
    else element.playbackRate = this.speed * (Math.abs(behind) < near ? 1 : 1 + Math.max(-most, Math.min(most, 2 * behind)));
  }

  #end() {
    this.pause();
    this.seek(0);
  }
}
