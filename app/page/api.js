// The HTTP interface: calls with the API key where the server wants one, problems as errors, a job's events.

import {$, plain} from "./dom.js";

const RECONNECT_MS = 2000;
const PATIENCE = 30;        // failed connections in a row before the server counts as gone
const KEY = "duetto-key";

export const jobUrl = id => "v1/jobs/" + encodeURIComponent(id);

// What the server says is wrong (RFC 9457), or that it says nothing.
export class Problem extends Error {
  constructor(title, detail, status = 0) {
    super(detail);
    Object.assign(this, {title, detail, status});
  }
}

export function problemOf(text, status) {
  try {
    const {title, detail} = JSON.parse(text);
    return new Problem(title || "That did not work", sentence(detail || title), status);
  } catch {
    return new Problem("That did not work", `The server answered with status ${status} and nothing else.`, status);
  }
}

export const unreachable = what => new Problem("The server cannot be reached", what);

function sentence(text) {
  const words = plain(text);
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

// For this tab alone, and gone with it.
let key = "";
try { key = sessionStorage.getItem(KEY) || ""; } catch { /* then it is asked for again after a reload */ }
let asking = null;

export const hasKey = () => key !== "";
export const authorization = () => (key ? {Authorization: "Bearer " + key} : {});

// Ask for the key once, however many calls wait for it.
export function askKey(problem) {
  asking ??= new Promise(done => {
    $("key-text").textContent = problem.detail;
    $("key").value = "";
    $("key-dialog").returnValue = "";
    $("key-dialog").showModal();
    $("key-dialog").addEventListener("close", () => {
      asking = null;
      key = $("key-dialog").returnValue ? $("key").value.trim() : "";
      try { sessionStorage.setItem(KEY, key); } catch { /* as above */ }
      done(key !== "");
    }, {once: true});
  });
  return asking;
}

// fetch() with the key; raises Problem for every answer that is none, and asks for a key where it must.
export async function call(url, options = {}) {
  for (;;) {
    let response;
    try {
      response = await fetch(url, {cache: "no-cache", ...options, headers: {...authorization(), ...options.headers}});
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw unreachable("The connection broke off. Is the server still running?");
    }
    if (response.ok) return response;
    const problem = problemOf(await response.text(), response.status);
    if (problem.status !== 401 || !await askKey(problem)) throw problem;
  }
}

export const getJson = async (url, options) => (await call(url, options)).json();

// An address for an element that cannot send a key: then the file is fetched whole first.
export async function playable(url) {
  return key ? URL.createObjectURL(await (await call(url)).blob()) : url;
}

// Every change of a job, as it happens, until it is final; null once it has been deleted.
export async function* follow(id, signal) {
  let [last, missed] = ["", 0];
  for (;;) {
    try {
      const headers = {Accept: "text/event-stream", ...(last ? {"Last-Event-ID": last} : {})};
      const response = await call(jobUrl(id) + "/events", {signal, headers, cache: "no-store"});
      if (response.status === 204) return;
      for await (const event of events(response.body)) {
        missed = 0;
        if (event.event === "deleted") return void (yield null);
        if (event.event !== "job") continue;
        last = event.id;
        const job = JSON.parse(event.data);
        yield job;
        if (isFinal(job)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status && error.status < 500) throw error;
    }
    missed += 1;
    if (missed > PATIENCE) throw unreachable("It has not answered for a while. The job may go on: reload the page later.");
    await new Promise(done => setTimeout(done, RECONNECT_MS));
    if (signal.aborted) return;
  }
}

export const isFinal = job => !["queued", "running"].includes(job.state);

// Server-sent events out of a stream of bytes (WHATWG HTML, section 9.2.6).
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let [text, event] = ["", {}];
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      text += value;
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines.map(line => line.replace(/\r$/, ""))) {
        const [, name, content] = line.match(/^([^:]*):? ?(.*)$/);
        if (line === "") {
          if ("data" in event) yield event;
          event = {};
        } else if (name === "data") {
          event.data = "data" in event ? event.data + "\n" + content : content;
        } else if (name) {
          event[name] = content;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
