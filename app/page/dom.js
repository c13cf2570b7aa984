// Small helpers that build the page and put numbers into words.

export const $ = id => document.getElementById(id);

// An element with properties, attributes (those with a dash, and role), and children.
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter(child => child != null));
  return node;
}

// An element from a path of an icon of 24 by 24.
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

// Set only when it differs: a screen reader speaks every change of a live region.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Messages are written for programmers, too, who see names of fields in them.
export const plain = text => String(text).replaceAll("`", "");
export const pretty = name => String(name).replaceAll("_", " ");
export const capital = text => text.charAt(0).toUpperCase() + text.slice(1);
export const percent = share => Math.round(100 * share) + " %";
export const article = name => (/^[aeiou]/.test(name) ? "an " : "a ") + name;

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return whole + " s";
  const minutes = Math.round(whole / 60);
  return minutes < 60 ? minutes + " min" : Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
}

export function size(bytes) {
  return bytes < 1e6 ? Math.max(1, Math.round(bytes / 1e3)) + " kB" : (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0) + " MB";
}

export function ago(date) {
  const seconds = (Date.now() - date) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h ago";
  return date.toLocaleDateString(undefined, {day: "numeric", month: "short"});
}
