// What pages do beyond being read: they go on by themselves, know keys, and show times in the
// viewer's zone. Everything here is a convenience; every page works without it.
"use strict";

// Live: the server says what changed, and the parts of the page that show it ask for themselves
// again: those whose data-live names it, and of one delivery only when it is that one. Not while
// somebody fills in a form there; then it is made up for afterwards.
const live = document.getElementById("live");
const behind = new Set();

function isBusy(part) {
  const within = part.contains(document.activeElement) ? document.activeElement : null;
  const isTyping = within && within.matches("input:not([type=checkbox]), select, textarea");
  return isTyping || part.querySelector("details[open], input:checked") !== null;
}

// Everything, if nothing is said of what changed.
function refresh(topics, ids) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const shows = part.dataset.live.split(" ");
    const own = part.dataset.liveId;
    const isConcerned = !topics || shows.some((topic) =>
      topics.has(topic) || (topic === "delivery" && ids.has(own)));
    if (!isConcerned) continue;
    if (isBusy(part)) behind.add(part.id);
    else part.dispatchEvent(new CustomEvent("live"));
  }
}

function catchUp() {
  for (const id of behind) {
    const part = document.getElementById(id);
    if (part && isBusy(part)) continue;
    behind.delete(id);
    if (part) part.dispatchEvent(new CustomEvent("live"));
  }
}
for (const kind of ["focusout", "toggle", "change"]) {
  document.addEventListener(kind, () => setTimeout(catchUp, 200), true);
}

let due = 0;
let isAll = false;
let topics = new Set();
let ids = new Set();
function later() {
  if (due) return;
  due = setTimeout(() => {
    due = 0;
    if (!document.hidden) refresh(isAll ? null : topics, ids);
    isAll = false;
    topics = new Set();
    ids = new Set();
  }, 400);
}

// A browser opens few connections to one host: pages that nobody looks at keep none. Whoever comes
// back is told first to read anew.
let events = null;
function say(isOn, word) {
  live.hidden = false;
  live.classList.toggle("lost", !isOn);
  document.getElementById("live-word").textContent = word;
}

function connect() {
  if (events || document.hidden) return;
  events = new EventSource("/console/events");
  events.addEventListener("open", () => say(true, "live"));
  events.addEventListener("error", () => {
    say(false, "reconnecting");
    // Refused, it is not tried again by itself. Whoever is no longer logged in is led to the login.
    if (events && events.readyState === EventSource.CLOSED) {
      disconnect();
      refresh(null, ids);
      setTimeout(connect, 5000);
    }
  });
  events.addEventListener("deliveries", (event) => {
    topics.add("deliveries");
    for (const change of JSON.parse(event.data)) ids.add(change.id);
    later();
  });
  events.addEventListener("changed", (event) => {
    for (const topic of JSON.parse(event.data)) topics.add(topic);
    later();
  });
  events.addEventListener("missed", () => {
    isAll = true;
    later();
  });
}

function disconnect() {
  if (events) events.close();
  events = null;
}
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
window.addEventListener("pagehide", disconnect);
window.addEventListener("pageshow", connect);

// What could not be read anew stands as it was, is said to, and is tried again.
function tryAgain(part) {
  say(false, "not up to date");
  if (part && part.id) behind.add(part.id);
  setTimeout(catchUp, 5000);
}
document.addEventListener("htmx:after:request", (event) => {
  const { response } = event.detail.ctx;
  if (response.status >= 500 || response.status === 429) tryAgain(event.target);
  else if (response.status >= 400) say(false, "not up to date");
  else if (events && events.readyState === EventSource.OPEN) say(true, "live");
});
document.addEventListener("htmx:error", (event) => tryAgain(event.target));

// A part that is busy is not asked for by the clock either.
document.addEventListener("htmx:before:request", (event) => {
  const part = event.target;
  const isByItself = part.matches && part.matches("[data-live]");
  if (isByItself && isBusy(part)) event.preventDefault();
});

// A form is sent once; a partner that is asked may take its time.
function setSent(form, isSent) {
  if (isSent) form.setAttribute("aria-busy", "true");
  else form.removeAttribute("aria-busy");
  for (const button of form.querySelectorAll("button")) button.disabled = isSent;
}
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "post") setTimeout(() => setSent(form, true));
});
// Whoever comes back to the page may send it anew.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[aria-busy]")) setSent(form, false);
});

// Times, in UTC as they stand or in the viewer's zone.
const zone = document.getElementById("zone");
let isLocal = localStorage.getItem("zone") === "local";
const local = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
  second: "2-digit", timeZoneName: "short",
});

function showTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    if (time.dataset.utc === undefined || !time.dataset.shown || time.textContent !== time.dataset.shown) {
      time.dataset.utc = time.textContent;
    }
    const there = local.format(new Date(time.dateTime));
    time.title = isLocal ? time.dataset.utc : there;
    const shown = isLocal ? there : time.dataset.utc;
    time.dataset.shown = shown;
    if (time.textContent !== shown) time.textContent = shown;
  }
  zone.textContent = isLocal ? "Local" : "UTC";
  zone.setAttribute("aria-pressed", String(isLocal));
  zone.setAttribute("aria-label", isLocal ? "Times are in your zone; show UTC" : "Times are in UTC; show your zone");
}

function changeZone() {
  isLocal = !isLocal;
  localStorage.setItem("zone", isLocal ? "local" : "utc");
  showTimes(document);
}

// Light and dark: as the system has it, unless somebody chose.
const root = document.documentElement;
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

function changeTheme() {
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

// Keys.
const places = {
  o: "/console/", d: "/console/deliveries", p: "/console/platforms", s: "/console/schedules", r: "/console/royalties",
  n: "/console/notifications", j: "/console/jobs", w: "/console/workers", a: "/console/audit",
};
let isGoing = false;

function choose(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (rows.length === 0) return;
  const now = rows.findIndex((row) => row.classList.contains("chosen"));
  const next = Math.min(rows.length - 1, Math.max(0, now < 0 ? 0 : now + step));
  rows.forEach((row, at) => row.classList.toggle("chosen", at === next));
  const row = rows[next];
  row.scrollIntoView({ block: "nearest" });
  const link = row.querySelector("a.main-link");
  if (link) link.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isGoing) {
    isGoing = false;
    if (places[event.key]) location.href = places[event.key];
    return;
  }
  const actions = {
    "/": () => (document.getElementById("q") || document.getElementById("search")).focus(),
    "j": () => choose(1),
    "k": () => choose(-1),
    "g": () => { isGoing = true; },
    "t": changeZone,
    "?": () => document.getElementById("help").showModal(),
  };
  if (actions[event.key]) {
    event.preventDefault();
    actions[event.key]();
  }
});

for (const [id, act] of [["zone", changeZone], ["theme", changeTheme], ["help-open", () => document.getElementById("help").showModal()]]) {
  const button = document.getElementById(id);
  button.hidden = false;
  button.addEventListener("click", act);
}
new MutationObserver((changes) => {
  if (changes.some((change) => [...change.addedNodes].some((node) => node.nodeType === 1 && (node.matches("time") || node.querySelector("time"))))) {
    showTimes(document);
  }
}).observe(document.getElementById("main"), { childList: true, subtree: true });
// On a narrow screen the navigation is one line: where this is must be seen.
function showWhere() {
  const here = document.querySelector(".side [aria-current]");
  const side = here && here.closest(".side");
  if (side) side.scrollLeft = here.offsetLeft - (side.clientWidth - here.offsetWidth) / 2;
}
window.addEventListener("resize", showWhere);
showWhere();
showTimes(document);
connect();
