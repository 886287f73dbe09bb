// What pages do beyond being read: they go on by themselves, know keys, and show times in the
// viewer's zone. Everything here is a convenience; every page works without it.
"use strict";

// Live: the server says that deliveries changed, and the parts of the page that show them ask for
// themselves again. Not while somebody fills in a form there.
const live = document.getElementById("live");
let due = 0;

function isBusy(part) {
  const within = part.contains(document.activeElement) ? document.activeElement : null;
  const isTyping = within && within.matches("input:not([type=checkbox]), select, textarea");
  return isTyping || part.querySelector("details[open], input:checked") !== null;
}

function refresh(ids) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const own = part.dataset.liveId;
    if ((!own || !ids || ids.has(own)) && !isBusy(part)) {
      part.dispatchEvent(new CustomEvent("live"));
    }
  }
}

let waiting = null;
function later(ids) {
  waiting = waiting && ids ? new Set([...waiting, ...ids]) : ids;
  if (due) return;
  due = setTimeout(() => {
    due = 0;
    const told = waiting;
    waiting = null;
    if (!document.hidden) refresh(told);
  }, 400);
}

function connect() {
  const events = new EventSource("/console/events");
  const say = (isOn) => {
    live.hidden = false;
    live.classList.toggle("lost", !isOn);
    document.getElementById("live-word").textContent = isOn ? "live" : "reconnecting";
  };
  events.addEventListener("open", () => say(true));
  events.addEventListener("error", () => say(false));
  events.addEventListener("deliveries", (event) => {
    later(new Set(JSON.parse(event.data).map((change) => change.id)));
  });
  events.addEventListener("missed", () => later(null));
  document.addEventListener("visibilitychange", () => document.hidden || refresh(null));
  window.addEventListener("pagehide", () => events.close());
}

// A part that is busy is not asked for by the clock either.
document.addEventListener("htmx:before:request", (event) => {
  const part = event.target;
  const isByItself = part.matches && part.matches("[data-live], [data-calm]");
  if (isByItself && isBusy(part)) event.preventDefault();
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
const here = document.querySelector(".side [aria-current]");
if (here && here.closest(".side").scrollWidth > here.closest(".side").clientWidth) {
  here.scrollIntoView({ block: "nearest", inline: "center" });
}
showTimes(document);
connect();
