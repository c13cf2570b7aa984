// The view of a job that has no result: why, and what to do about it.

import {$, h} from "./dom.js";
import {SAME, offerInstruments} from "./upload.js";

export function showFailure({title, text, name = "", job = null}, {rerun, anew}) {
  $("failure-name").textContent = name;
  $("failure-title").textContent = title;
  $("failure-text").textContent = text;
  $("failure-actions").replaceChildren(h("button", {type: "button", textContent: "Send another", onclick: anew}));
  const form = $("failure-again");
  form.hidden = !job;
  if (!job) return;
  const sides = ["left", "right"].map(side => {
    const select = h("select", {name: side}, new Option("Find out for me", ""));
    offerInstruments(select).then(() => { select.value = job.options[side] || ""; });
    return h("label", {className: `field side-${side}`}, h("span", {textContent: `On the ${side} plays`}), select);
  });
  const problem = h("p", {className: "notice bad", role: "alert", hidden: true});
  form.replaceChildren(
    h("div", {className: "fields"}, ...sides), problem,
    h("div", {className: "actions"}, h("button", {className: "first", textContent: "Try once more"})),
    h("p", {className: "faint", textContent: "The files are still here; nothing is sent twice."}));
  form.onsubmit = event => {
    event.preventDefault();
    const [left, right] = sides.map(side => side.querySelector("select").value);
    problem.textContent = left && left === right ? SAME : "";
    problem.hidden = !problem.textContent;
    if (problem.hidden) rerun(job, {left, right});
  };
}
