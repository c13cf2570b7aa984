// The view of a job that has succeeded: the film in step with both stems, who was taken for what and why, and a way
// to put it right.

import {call, getJson, hasKey, jobUrl, playable} from "./api.js";
import {article, capital, h, percent, plain, pretty} from "./dom.js";
import {buildDesk, keyPressed} from "./desk.js";
import {viewsOf} from "./jobs.js";
import {Player} from "./player.js";
import {instruments} from "./upload.js";

const SIDES = ["left", "right"];
const GUESSES = 3;
const SURE = 0.7;           // as the server has it: docs/api.md, "Who plays where"
const SHOWN_MOSTLY = 0.6;   // a view that is on for less of the film would be marked over others

// Show it in `section`; `actions` are rerun, remove, anew. Returns {player, close, recolour, name}, or null if it was left.
export async function showResult(section, job, actions, isWanted) {
  const result = await getJson(jobUrl(job.id) + "/result");
  result.views ||= viewsOf(job.id);
  const [left, right, video, names] = await Promise.all(
    [job.links.left, job.links.right, job.links.video].map(link => link && playable(link.replace(/^\//, ""))).concat(instruments));
  if (!isWanted()) return null;
  const film = video ? h("video", {src: video, muted: true, playsInline: true, preload: "auto", "aria-hidden": "true"}) : null;
  const player = new Player({left, right}, film, result.sound.duration_s);
  const desk = buildDesk(job, result, player);
  const labels = SIDES.map(side => pretty(result.labels[side].instrument));
  const name = capital(labels.join(" & "));
  const stage = h("div", {className: "stage"},
    h("div", {className: "screen"}, film && buildFilm(film, job, result, player), desk.element),
    h("div", {className: "players"}, ...SIDES.map(side => buildPlayer(side, job, result, names, actions))));
  const pictures = await buildPictures(job, result);
  if (!isWanted()) return void player.close();
  const broken = h("p", {className: "notice bad", role: "alert", hidden: true, textContent:
    "Your browser cannot play these tracks, or they have been removed. You can still try to download them."});
  player.addEventListener("broken", () => { broken.hidden = false; });
  section.replaceChildren(
    h("div", {className: "result-head"},
      h("div", {}, h("p", {className: "eyebrow", textContent: job.input.title}),
        h("h1", {id: "result-title", tabIndex: -1, textContent: name})),
      h("div", {className: "actions"},
        h("a", {className: "button first download", href: jobUrl(job.id) + "/stems.zip", download: `${job.input.title.replace(/\.\w+$/, "")}.zip`, textContent: "Download both"}),
        h("button", {type: "button", textContent: "Delete", onclick: () => actions.remove(job.id, name)}))),
    ...buildWarnings(result), broken, stage, buildDetails(result, pictures));
  if (hasKey()) for (const link of section.querySelectorAll("a.download")) link.addEventListener("click", saveWithKey);
  const onKey = event => keyPressed(event, player);
  section.addEventListener("keydown", onKey);
  let frame = 0;
  const tick = () => {
    desk.draw();
    for (const picture of pictures) picture.moveTo(player.time);
    frame = requestAnimationFrame(tick);
  };
  tick();
  return {
    player, name, recolour: desk.recolour,
    close() {
      cancelAnimationFrame(frame);
      section.removeEventListener("keydown", onKey);
      desk.close();
      player.close();
      section.replaceChildren();
      if (video?.startsWith("blob:")) URL.revokeObjectURL(video);
    },
  };
}

function buildWarnings({warnings, opinions}) {
  const words = [...(warnings || [])];
  const sure = opinions?.fused ? opinions.fused.sure : true;
  if (!sure && !words.length) words.push("It is not sure who plays here. Look at the names below, and correct them if they are wrong.");
  if (!words.length) return [];
  return [h("div", {className: "notice", role: "note"}, h("ul", {}, ...words.map(text => h("li", {textContent: plain(text)}))))];
}

// The film, with where each player was seen drawn over it.
function buildFilm(film, job, result, player) {
  const marks = h("div", {className: "marks", "aria-hidden": "true"});
  const view = (result.views || [])[0];
  for (const side of view && view.share >= SHOWN_MOSTLY ? SIDES : []) {
    const at = view[side];
    if (!at) continue;
    const style = {left: share(at.left), top: share(at.top), width: share(at.right - at.left), height: share(at.bottom - at.top)};
    const mark = h("div", {className: `mark ${side}`, style}, h("span", {textContent: capital(pretty(result.labels[side].instrument))}));
    player.addEventListener("change", () => mark.classList.toggle("off", !player.isHeard(side)));
    marks.append(mark);
  }
  film.addEventListener("loadedmetadata", () => marks.style.setProperty("--ratio", film.videoWidth / film.videoHeight || 16 / 9));
  const box = h("div", {className: "film"}, film, marks);
  box.addEventListener("click", () => player.toggle());
  film.addEventListener("error", async () => {
    marks.remove();
    player.film = null;
    const words = h("p", {className: "unseen", textContent: "This browser cannot show films of this kind. The tracks play all the same."});
    const still = result.pictures?.find(({name}) => name === "frame");
    film.replaceWith(still ? h("img", {alt: still.alt, src: await playable(`${jobUrl(job.id)}/${still.url}`).catch(() => "")}) : "", words);
  });
  return box;
}

const share = part => (100 * part).toFixed(2) + "%";

// What is known of one player, and one press to correct it.
function buildPlayer(side, job, result, names, {rerun}) {
  const label = result.labels[side];
  const [name, quality] = [pretty(label.instrument), result.quality?.[side]];
  const guesses = ranked(side, result);
  const other = result.labels[side === "left" ? "right" : "left"].instrument;
  const choices = [...new Set([...guesses.map(([guess]) => guess), ...names.map(known => known.name)])]
    .filter(choice => choice !== label.instrument);
  const correct = choice => {
    // What was right stays; the same name on both sides means that they were the wrong way round.
    const swapped = choice === other ? label.instrument : other;
    rerun(job, side === "left" ? {left: choice, right: swapped} : {left: swapped, right: choice}, result.views);
  };
  const chips = h("div", {className: "chips"}, ...choices.map(choice => h("button", {type: "button",
    textContent: capital(pretty(choice)) + (choice === other ? " (swap both)" : ""), "aria-label": `It is ${article(pretty(choice))}: run again`, onclick: () => correct(choice)})));
  const source = label.source === "request" ? "named by you" : result.label_rule.step === "picture_and_sound" ? "seen and heard" : "seen";
  const unsure = label.probability != null && label.probability < SURE;
  return h("section", {className: `player ${side}`, "aria-label": `Player on the ${side}`},
    h("p", {className: "faint", textContent: `On the ${side}, ${source}`}),
    h("h2", {textContent: capital(name)}),
    quality && h("p", {textContent: `${capital(quality.meaning)} (about ${quality.likely_sdr_db.toFixed(0)} dB).`}),
    guesses.length ? buildGuesses(guesses.slice(0, GUESSES)) : null,
    h("details", {className: "correct", open: unsure},
      h("summary", {textContent: `Not ${article(name)}?`}),
      h("p", {className: "faint", textContent: "Press what it is; the duet is separated anew, without sending it again."}), chips));
}

function buildGuesses(guesses) {
  return h("div", {className: "guesses", role: "list", "aria-label": "How probable by what was seen"}, ...guesses.map(([name, value]) =>
    h("div", {className: "guess", role: "listitem"}, h("span", {textContent: capital(pretty(name))}),
      h("span", {className: "bar", "aria-hidden": "true"}, h("i", {style: {width: share(value)}})),
      h("span", {className: "value", textContent: value > 0.995 ? "> 99 %" : value < 0.005 ? "< 1 %" : percent(value)}))));
}

// The instruments by how probable each is on that side: what was decided first, then the mean over the film.
function ranked(side, {labels, probabilities}) {
  if (!probabilities || !probabilities[side].length) return [];
  const rows = probabilities[side];
  const means = probabilities.instruments.map((name, place) => [name, rows.reduce((sum, row) => sum + row[place], 0) / rows.length]);
  const {instrument, probability} = labels[side];
  const rest = means.filter(([name]) => name !== instrument).sort((a, b) => b[1] - a[1]);
  // Decided by picture and sound together, so the others cannot be more probable than what is left.
  const left = probability == null ? 1 : 1 - probability;
  return probability == null ? rest : [[instrument, probability], ...rest.map(([name, value]) => [name, Math.min(value, left)])];
}

// The worker's drawings. Those of sound have a line that shows the present moment.
async function buildPictures(job, result) {
  const titles = {mix: "The recording", left: capital(pretty(result.labels.left.instrument)), right: capital(pretty(result.labels.right.instrument)),
    probabilities: "Who it looks like, moment by moment", frame: "What was seen where"};
  const length = result.sound.duration_s;
  return Promise.all((result.pictures || []).map(async ({name, url, width, height, alt, plot}) => {
    const now = h("div", {className: "now", hidden: true});
    const src = await playable(`${jobUrl(job.id)}/${url}`).catch(() => "");
    const image = h("img", {src, width, height, alt, loading: "lazy"});
    if (plot) Object.assign(now.style, {top: share(plot.top / height), height: share(plot.height / height)});
    const element = h("figure", {className: name === "mix" ? "wide" : ""}, h("figcaption", {textContent: titles[name] || capital(name)}),
      h("div", {className: "shot"}, image, now));
    return {
      element,
      moveTo(time) {
        if (!plot) return;
        now.hidden = time === 0;
        now.style.left = share((plot.left + plot.width * time / length) / width);
      },
    };
  }));
}

function buildDetails(result, pictures) {
  const sound = result.sound;
  const facts = [
    ["Decided by", [{picture_and_sound: "picture and sound", picture: "the picture alone", request: "you"}[result.label_rule.step] || "the picture",
      result.label_rule.frames ? `${result.label_rule.frames} frames` : ""].filter(Boolean).join(", ")],
    ["Heard in it", heard(result.opinions?.sound)],
    ["Methods", [result.tagger, result.separator].filter(Boolean).join(", ")],
    ["Tracks", `${(sound.stem_sample_rate / 1000).toFixed(1)} kHz, ${sound.channels === 1 ? "mono" : sound.channels === 2 ? "stereo" : sound.channels + " channels"}`],
  ].filter(([, text]) => text);
  return h("section", {className: "details", "aria-labelledby": "details-title"},
    h("h2", {id: "details-title", textContent: "What it saw and heard"}),
    h("dl", {className: "facts"}, ...facts.map(([term, text]) => h("div", {}, h("dt", {textContent: term}), h("dd", {textContent: text})))),
    h("div", {className: "pictures"}, ...pictures.map(picture => picture.element)));
}

function heard(opinion) {
  if (!opinion) return "";
  const all = Object.entries(opinion.probabilities).sort((a, b) => b[1] - a[1]).slice(0, GUESSES);
  return all.map(([name, value]) => `${pretty(name)} ${percent(value)}`).join(", ");
}

// A link cannot send a key.
async function saveWithKey(event) {
  event.preventDefault();
  const {href, download} = event.currentTarget;
  try {
    const address = URL.createObjectURL(await (await call(href)).blob());
    h("a", {href: address, download}).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  } catch (problem) {
    alert(`${problem.title}. ${problem.detail}`);
  }
}
