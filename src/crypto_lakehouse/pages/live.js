"use strict";
// Keeps the section "Now" current. The server sends one object a second; texts are set as text.
const shown = [...document.querySelectorAll("[data-live]")];
const state = document.getElementById("state");
const bar = document.getElementById("bar");
const count = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});
let before = null;
let past = [];  // of the last ten seconds

function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (size >= 1000 && at < units.length - 1) { size /= 1000; at += 1; }
  return `${size.toFixed(at ? 1 : 0)} ${units[at]}`;
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

const forms = {
  bytes, duration, count: (value) => count.format(value),
  rate: (value) => value < 10 ? value.toFixed(1) : count.format(value),
};

function show(now) {
  if (before && (now.seconds < before.seconds || now.done < before.done)) past = [];  // another run
  past = [...past.slice(-10), now];
  const since = past[0];
  if (now.seconds > since.seconds) now.rate = (now.done - since.done) / (now.seconds - since.seconds);
  for (const each of shown) {
    const value = now[each.dataset.live];
    each.parentElement.hidden = value === null || value === undefined;
    if (!each.parentElement.hidden) each.textContent = forms[each.dataset.form](value);
  }
  document.getElementById("what").textContent = now.workflow || "starting";
  state.textContent = now.state;
  bar.style.width = `${now.planned ? Math.min(100, 100 * now.done / now.planned) : 0}%`;
  // What the ledger has changes when a run ends: the server then has a new page.
  if (before && now.runs > before.runs) location.reload();
  before = now;
}

const events = new EventSource("events");
events.addEventListener("progress", (event) => show(JSON.parse(event.data)));
events.addEventListener("end", () => { events.close(); state.textContent = "has ended"; });
events.onerror = () => {
  state.textContent = events.readyState === EventSource.CLOSED ? "not connected" : "connecting again";
};
