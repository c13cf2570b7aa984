// The list of my jobs: their ids are kept in this browser, everything else the server knows.

import {call, getJson, isFinal, jobUrl} from "./api.js";
import {$, ago, capital, h, percent} from "./dom.js";

const KEY = "duetto-jobs";
const MOST = 50;
const REFRESH_MS = 4000;
const STATES = {queued: "waiting", failed: "did not work", canceled: "canceled", expired: "expired", gone: "deleted"};
let mine = [];              // {id, title, at, name, views}: newest first; `name` once the players are known
const known = new Map();    // what the server said last, by id
let now = null;             // the id on view
let remove = () => {};

function keep() {
  try { localStorage.setItem(KEY, JSON.stringify(mine)); } catch { /* then the list lasts as long as the page */ }
}

function draw() {
  $("jobs-empty").hidden = mine.length > 0;
  $("jobs").replaceChildren(...mine.map(({id, title, at, name}) => {
    const job = known.get(id);
    const state = !job ? "" : job.state === "running" ? percent(job.progress) : STATES[job.state] || "";
    const link = h("a", {href: "#" + id}, h("strong", {textContent: name || title, title: title}),
      h("small", {textContent: [name ? title : "", state, ago(new Date(at))].filter(Boolean).join(" · ")}));
    if (id === now) link.setAttribute("aria-current", "page");
    return h("li", {className: id === now ? "now" : ""}, link,
      h("button", {type: "button", className: "quiet", textContent: "✕", "aria-label": `Delete ${name || title}`, onclick: () => remove(id, name || title)}));
  }));
}

// `views`: where an earlier job of the same film saw the players. One whose players are named does not look.
export function remember(job, views = null) {
  if (mine.some(({id}) => id === job.id)) return;
  mine = [{id: job.id, title: job.input.title, at: Date.parse(job.created_at), views}, ...mine].slice(0, MOST);
  known.set(job.id, job);
  keep();
  draw();
}

// What is known of a job has changed; `name` says who plays.
export function update(job, name) {
  known.set(job.id, job);
  const entry = mine.find(({id}) => id === job.id);
  if (entry && name) Object.assign(entry, {name: capital(name)});
  keep();
  draw();
}

export const viewsOf = id => mine.find(entry => entry.id === id)?.views ?? null;

export function forget(id) {
  mine = mine.filter(entry => entry.id !== id);
  known.delete(id);
  keep();
  draw();
}

export function mark(id) {
  now = id;
  draw();
}

export const deleteJob = id => call(jobUrl(id), {method: "DELETE"}).catch(problem => {
  if (problem.status !== 404) throw problem;
});

async function refresh(ids) {
  await Promise.all(ids.map(async id => {
    try {
      known.set(id, await getJson(jobUrl(id)));
    } catch (problem) {
      // Deleted elsewhere, or so old that the server has forgotten it.
      if (problem.status === 404) mine = mine.filter(entry => entry.id !== id);
    }
  }));
  keep();
  draw();
}

export function startJobs(onRemove) {
  remove = onRemove;
  try { mine = JSON.parse(localStorage.getItem(KEY)) || []; } catch { mine = []; }
  draw();
  if (mine.length) refresh(mine.map(({id}) => id));
  setInterval(() => {
    // The one on view tells of itself.
    const live = mine.map(({id}) => id).filter(id => id !== now && known.has(id) && !isFinal(known.get(id)));
    if (live.length && !document.hidden) refresh(live);
  }, REFRESH_MS);
}
