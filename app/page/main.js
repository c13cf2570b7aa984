// Which view is shown: the address behind # names a job, or nothing, which is the form.

import {Problem, call, follow, getJson, isFinal, jobUrl} from "./api.js";
import {$, plain, say} from "./dom.js";
import {showFailure} from "./failure.js";
import {deleteJob, forget, mark, remember, startJobs, update} from "./jobs.js";
import {beginWork, showSending, showWork} from "./progress.js";
import {startTheme} from "./theme.js";
import {clearForm, complain, isSending, options, send, startForm, stopSending} from "./upload.js";

const VIEWS = ["new", "work", "failure", "result"];
const NAMES_HELP = ["players_unclear", "same_instrument", "labels_unfit", "no_picture", "picture_too_large"];
const ID = /^[0-9a-f]{32}$/;
let visit = new AbortController();  // aborted when another job, or the form, is shown
let shown = null;                   // the result on view
let current = null;                 // the id of the job on view

const actions = {rerun, remove, anew: () => go("")};

function view(name, title) {
  for (const one of VIEWS) $(one).hidden = one !== name;
  $("another").hidden = name === "new";
  document.body.classList.remove("opening");
  document.title = title ? `${title} · Duetto` : "Duetto";
  // Readers are told where they are; nobody is scrolled away from what has not moved.
  $(name + "-title")?.focus({preventScroll: name === "new"});
}

function leave() {
  visit.abort();
  visit = new AbortController();
  shown?.close();
  shown = null;
  current = null;
}

function go(id) {
  if (location.hash.slice(1) === id) return void open(id);
  location.hash = id;
}

function fail(problem, name = "", job = null) {
  if (!(problem instanceof Problem)) throw problem;
  showFailure({title: problem.title, text: problem.detail, name, job}, actions);
  view("failure", problem.title);
}

async function open(id) {
  if (isSending()) stopSending();
  leave();
  mark(id || null);
  if (!ID.test(id)) {
    view("new");
    return;
  }
  const {signal} = visit;
  current = id;
  try {
    for (let job = await getJson(jobUrl(id), {signal}); ;) {
      remember(job);
      if (isFinal(job)) return await end(job, signal);
      beginWork(job.input.title);
      view("work", job.input.title);
      showWork(job);
      for await (job of follow(id, signal)) {
        if (signal.aborted) return;
        if (job === null) throw new Problem("Deleted", "This duet has been deleted.", 404);
        update(job);
        if (!isFinal(job)) showWork(job);
      }
      if (signal.aborted) return;
      if (!job || !isFinal(job)) job = await getJson(jobUrl(id), {signal});
    }
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.status === 404) forget(id);
    fail(problem);
  }
}

async function end(job, signal) {
  update(job);
  if (job.state === "succeeded") {
    const {showResult} = await import("./result.js");
    shown = await showResult($("result"), job, actions, () => !signal.aborted);
    if (!shown) return;
    update(job, shown.name);
    view("result", shown.name);
    return;
  }
  const failed = {
    failed: new Problem("That did not work", plain(job.error?.message || "No reason was given.")),
    canceled: new Problem("Canceled", "You stopped this one; nothing was made of it."),
    expired: new Problem("Expired", "The tracks of this duet have been removed by age. Send it again for new ones."),
  }[job.state];
  fail(failed, job.input.title, mayWork(job) ? job : null);
}

// Whether the same files may give a result after all: with names, or another time.
function mayWork({state, error}) {
  return state === "canceled" || (state === "failed" && Boolean(error?.retryable || NAMES_HELP.includes(error?.code)));
}

// Post a form, show how it goes, and then its job.
async function post(body, name) {
  leave();
  mark(null);
  beginWork(name);
  showSending(0);
  view("work", name);
  // A press on another duet would stop the sending.
  $("aside").inert = true;
  try {
    const job = await send(body, showSending).finally(() => { $("aside").inert = false; });
    if (job === null) return view("new");
    remember(job);
    clearForm();
    go(job.id);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    view("new");
    complain(`${problem.title}. ${problem.detail}`);
  }
}

// The same files, with other names. `views`: where the players were seen, if they were.
async function rerun(job, names, views) {
  const {format, bits} = job.options;
  const body = options({...names, format: [format, bits].filter(Boolean).join(" ")});
  body.append("again", job.id);
  try {
    const next = await (await call("v1/jobs", {method: "POST", body})).json();
    remember(next, views);
    go(next.id);
  } catch (problem) {
    leave();
    fail(problem, job.input.title);
  }
}

async function remove(id, name) {
  if (!confirm(`Delete ${name}, with the video and both tracks? This cannot be undone.`)) return;
  try {
    await deleteJob(id);
  } catch (problem) {
    leave();
    return fail(problem);
  }
  forget(id);
  if (id === current) go("");
}

async function cancel() {
  if (isSending()) return stopSending();
  $("cancel").disabled = true;
  try {
    await call(jobUrl(current) + "/cancel", {method: "POST"});
    say($("stage"), "Canceling");
  } catch (problem) {
    // 409: it has ended just now, and the next event shows how.
    if (problem.status !== 409) $("cancel").disabled = false;
  }
}

startTheme(() => shown?.recolour());
startJobs(remove);
startForm(post);
$("cancel").addEventListener("click", cancel);
$("another").addEventListener("click", () => go(""));
addEventListener("beforeunload", event => { if (isSending()) event.preventDefault(); });
addEventListener("hashchange", () => open(location.hash.slice(1)));
// For whoever looks from the console, and for the tests: what plays, and how loud either player is at this moment.
Object.defineProperty(window, "duetto", {value: Object.freeze({get player() { return shown?.player ?? null; }})});
// A link to a job: not the form first, and then something else.
if (ID.test(location.hash.slice(1))) $("new").hidden = true;
open(location.hash.slice(1));
