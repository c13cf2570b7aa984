// The form: which files, who plays, in which format; and sending it, with how much of it has gone.

import {Problem, askKey, authorization, getJson, problemOf, unreachable} from "./api.js";
import {$, size} from "./dom.js";

const KINDS = {
  video: /\.(mp4|m4v|mov|webm|mkv|avi)$/i,
  audio: /\.(wav|flac|mp3|ogg|oga|m4a)$/i,
  frames: /\.(jpe?g|png|webp|bmp|zip)$/i,
};
const byName = new Intl.Collator(undefined, {numeric: true});
let files = [];
let request = null;

export const instruments = getJson("v1/instruments").catch(() => []);

// Fill a select with the instruments.
export async function offerInstruments(...selects) {
  for (const {name, label} of await instruments) for (const select of selects) select.append(new Option(label, name));
}

function kindOf(file) {
  for (const [kind, ending] of Object.entries(KINDS)) if (ending.test(file.name)) return kind;
  const [family] = file.type.split("/");
  return {video: "video", audio: "audio", image: "frames"}[family] || "video";
}

// What a choice of files is: fields of the form, a name, a note; or what is missing.
function read(chosen) {
  const of = kind => chosen.filter(file => kindOf(file) === kind);
  const [videos, audios, frames] = [of("video"), of("audio"), of("frames").sort((a, b) => byName.compare(a.name, b.name))];
  const total = size(chosen.reduce((sum, file) => sum + file.size, 0));
  if (!chosen.length) return {problem: "Choose the video of a duet first."};
  if (videos.length && chosen.length > 1) return {problem: "One video is enough: it has picture and sound. Choose it alone."};
  if (videos.length) return {parts: [["video", videos[0]]], name: videos[0].name, note: total};
  if (audios.length > 1) return {problem: "Those are several recordings. Choose the one of the duet."};
  const pictures = frames.length === 1 ? frames[0].name : frames.length + " pictures";
  if (!audios.length) return {problem: "Pictures alone make no sound: choose them together with the recording.", name: pictures, note: total};
  const parts = [...frames.map(file => ["frames", file]), ["audio", audios[0]]];
  if (frames.length) return {parts, name: `${pictures} and ${audios[0].name}`, note: total};
  return {parts, name: audios[0].name, note: total + ". Sound alone does not show who plays: name both players below.", blind: true};
}

function choose(chosen) {
  files = [...chosen];
  const found = read(files);
  $("drop").classList.toggle("filled", files.length > 0);
  $("chosen").textContent = found.name || (files.length ? files[0].name : "Choose a video, or drop it here");
  $("chosen-note").textContent = files.length ? found.note || ""
    : "mp4, mov, webm, mkv or avi. Or pictures of the duet together with a recording of it.";
  complain(files.length ? found.problem : "");
}

export function complain(text) {
  $("form-problem").textContent = text || "";
  $("form-problem").hidden = !text;
}

export function clearForm() {
  $("form").reset();
  choose([]);
}

// The form that `POST /v1/jobs` takes.
export function options({left, right, format}) {
  const body = new FormData();
  if (left) body.append("left", left);
  if (right) body.append("right", right);
  const [name, bits] = format.split(" ");
  body.append("format", name);
  if (bits) body.append("bits", bits);
  return body;
}

// Call `onSend` with the form's body and a name for it, once it is complete.
export function startForm(onSend) {
  offerInstruments($("left"), $("right"));
  $("files").addEventListener("change", () => choose($("files").files));
  for (const kind of ["dragenter", "dragover"]) $("drop").addEventListener(kind, () => $("drop").classList.add("over"));
  for (const kind of ["dragleave", "drop"]) $("drop").addEventListener(kind, () => $("drop").classList.remove("over"));
  $("drop").addEventListener("drop", event => choose(event.dataTransfer.files));
  // A file dropped beside the zone must not make the browser leave the page.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault());
  $("form").addEventListener("submit", event => {
    event.preventDefault();
    const found = read(files);
    const [left, right] = [$("left").value, $("right").value];
    if (found.problem) return complain(found.problem);
    if (found.blind && !(left && right)) return complain("Sound alone does not show who plays: name both players, or add pictures.");
    complain("");
    const body = options({left, right, format: $("format").value});
    for (const [field, file] of found.parts) body.append(field, file);
    onSend(body, found.name);
  });
}

// Send a body; XMLHttpRequest, because fetch() tells nothing about how much has been sent. Null if it was stopped.
export async function send(body, onProgress) {
  for (;;) {
    const answer = await new Promise((done, fail) => {
      request = new XMLHttpRequest();
      request.open("POST", "v1/jobs");
      for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
      request.upload.onprogress = event => event.lengthComputable && onProgress(event.loaded / event.total);
      request.onload = event => done(event.target);
      request.onabort = () => done(null);
      request.onerror = () => fail(unreachable("The connection broke off while the files were sent. Is the server still running?"));
      request.send(body);
    }).finally(() => { request = null; });
    if (answer === null) return null;
    if (answer.status === 202) return JSON.parse(answer.responseText);
    const problem = problemOf(answer.responseText, answer.status);
    if (!(problem instanceof Problem) || problem.status !== 401 || !await askKey(problem)) throw problem;
  }
}

export const isSending = () => request !== null;
export const stopSending = () => request?.abort();
