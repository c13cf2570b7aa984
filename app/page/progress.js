// The view of a job at work: how far, what it is doing, how long still, where in the queue.

import {$, duration, say} from "./dom.js";

const STAGES = {
  send: "Sending the files", queue: "Waiting for a free worker", probe: "Opening the file", tag: "Looking and listening who plays",
  separate: "Separating the players", encode: "Writing the tracks", start: "Starting",
};
const ORDER = ["send", "queue", "tag", "separate", "encode"];

function show(stage, share, note) {
  const whole = Math.floor(100 * share);
  say($("stage"), STAGES[stage] || stage);
  say($("note"), note);
  $("percent").textContent = whole;
  $("bar").value = whole;
  const now = ORDER.indexOf({probe: "tag", start: "tag"}[stage] || stage);
  for (const [place, item] of [...$("steps").children].entries()) {
    item.className = place < now ? "done" : place === now ? "now" : "";
    if (place === now) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
  }
  document.title = `${whole} % · Duetto`;
}

export function beginWork(name) {
  $("work-title").textContent = name;
  $("cancel").disabled = false;
}

export const showSending = share => show("send", share, share < 1 ? "Keep this page open until all is sent." : "All sent.");

export function showWork(job) {
  $("work-title").textContent = job.input.title;
  $("cancel").disabled = job.cancel_requested;
  if (job.state === "queued") {
    const ahead = job.queue_position;
    show("queue", job.progress, ahead ? `${ahead} ${ahead === 1 ? "duet" : "duets"} ahead of yours` : "Yours is next");
  } else if (job.cancel_requested) {
    show("Canceling", job.progress, "");
  } else {
    const left = job.eta_seconds == null ? "" : `about ${duration(job.eta_seconds)} left`;
    show(job.stage || "start", job.progress, job.attempts > 1 ? `${left} (begun anew: a worker was lost)`.trim() : left);
  }
}
