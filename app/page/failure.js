// The view of a job that has no result: why, and what to do about it.

import {$, h} from "./dom.js";
import {offerInstruments} from "./upload.js";

export function showFailure({title, text, name = "", job = null}, {rerun, anew}) {
  $("failure-name").textContent = name;
  $("failure-title").textContent = title;
  $("failure-text").textContent = text;
  const another = h("button", {type: "button", textContent: "Send another", onclick: anew});
  const form = $("failure-again");
  form.hidden = !job;
  $("failure-actions").replaceChildren(...(job ? [] : [another]));
  if (!job) return;
  const sides = ["left", "right"].map(side => {
    const select = h("select", {name: side}, new Option("Find out for me", ""));
    offerInstruments(select).then(() => { select.value = job.options[side] || ""; });
    return h("label", {className: `field side-${side}`}, h("span", {textContent: `On the ${side} plays`}), select);
  });
  form.replaceChildren(
    h("div", {className: "fields"}, ...sides),
    h("div", {className: "actions"}, h("button", {className: "first", textContent: "Try once more"}), another),
    h("p", {className: "faint after", textContent: "The files are still here: nothing is sent twice."}));
  form.onsubmit = event => {
    event.preventDefault();
    const [left, right] = sides.map(side => side.querySelector("select").value);
    rerun(job, {left, right});
  };
}
