// Walks through the console as an operator does, in headless Chromium: logs in, finds a delivery by
// ISRC, reads why it failed, holds its platform, lets it go on, retries, watches it turn accepted
// without a reload, and sees it in the audit. On every page axe looks for what keeps people out.
//
//   node walk.mjs BASE KEY [DIRECTORY FOR SCREENSHOTS]
//
// Prints a line for each step; the exit code is 0 only if all is well.
import { readFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";
import puppeteer from "puppeteer-core";

const [base, key, shots] = process.argv.slice(2);
if (!base || !key) {
  console.error("usage: walk.mjs BASE KEY [DIRECTORY]");
  process.exit(64);
}
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
if (shots) await mkdir(shots, { recursive: true });
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const widths = [[360, 780], [1280, 900], [3840, 2160]];
// What a page is printed as, A4 at 96 dots an inch.
const paper = [794, 1123];
const faults = [];
const fail = (sentence) => { faults.push(sentence); console.log(`FAIL ${sentence}`); };
const pass = (sentence) => console.log(`ok   ${sentence}`);

const page = await browser.newPage();
page.on("console", (message) => {
  if (message.type() === "error" && !message.text().includes("401")) fail(`console: ${message.text()}`);
});
page.on("pageerror", (error) => fail(`script: ${error.message}`));

async function inspect(name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([
      { name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    for (const [width, height] of widths) {
      await page.setViewport({ width, height });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 1) fail(`${name}: ${wide} pixels wider than a screen of ${width}`);
      if (shots) await page.screenshot({ path: `${shots}/${name}-${width}-${scheme}.png` });
      if (width === 3840) continue;
      // axe as a script of the tester's, past the page's policy, which stays in force for the page.
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const one of violations) {
        const nodes = one.nodes.slice(0, 3).map((node) => node.html.slice(0, 140)).join(" | ");
        fail(`${name} ${width} ${scheme}: ${one.impact} ${one.id}: ${one.help}: ${nodes}`);
      }
    }
  }
  await page.setViewport({ width: paper[0], height: paper[1] });
  await page.emulateMediaType("print");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 1) fail(`${name}: ${wide} pixels wider than paper`);
  if (shots) await page.screenshot({ path: `${shots}/${name}-print.png` });
  await page.emulateMediaType(null);
  await page.setViewport({ width: 1280, height: 900 });
  pass(`${name} inspected`);
}

const open = (path) => page.goto(base + path, { waitUntil: "domcontentloaded" });
const text = () => page.$eval("main", (main) => main.innerText);

await open("/console/deliveries");
if (!page.url().includes("/console/login")) fail("whoever is not logged in sees deliveries");
await inspect("login");
await page.type("#key", "tmw_wrong");
await Promise.all([page.waitForNavigation(), page.click("button")]);
if (!(await text()).includes("not accepted")) fail("a wrong key is not refused in words");
await page.type("#key", key);
await Promise.all([page.waitForNavigation(), page.click("button")]);
if (!page.url().endsWith("/console/deliveries")) fail(`after the login: ${page.url()}`);
pass("logged in");

for (const [name, path] of [
  ["overview", "/console/"], ["deliveries", "/console/deliveries"], ["platforms", "/console/platforms"],
  ["platform", "/console/platforms/1"], ["schedules", "/console/schedules"], ["royalties", "/console/royalties"],
  ["balances", "/console/royalties/balances"], ["statistics", "/console/statistics"],
  ["notifications", "/console/notifications?state=delivered"], ["notifications-none", "/console/notifications?state=dismissed"], ["jobs", "/console/jobs?state=completed"],
  ["cron", "/console/cron"], ["workers", "/console/workers"], ["audit", "/console/audit"], ["keys", "/console/keys"],
  ["missing", "/console/deliveries/00000000-0000-7000-8000-000000000000"],
]) {
  // The server's 404 is told of on the console, as it should be.
  if (name === "missing") page.removeAllListeners("console");
  await open(path);
  await inspect(name);
}
await open("/console/deliveries");
const first = await page.$eval("a.main-link", (link) => link.getAttribute("href"));
await open(first);
await inspect("delivery");
await open("/console/deliveries?state=accepted");
await open(await page.$eval("a.main-link", (link) => link.getAttribute("href")));
await inspect("delivery-accepted");
const kept = await page.$eval(".documents a", (link) => link.getAttribute("href")).catch(() => null);
if (kept) {
  await open(kept);
  await inspect("document");
} else {
  fail("an accepted delivery has no document");
}
for (const [list, name] of [["royalties", "royalty-run"], ["notifications?state=unaddressed", "notification"]]) {
  await open(`/console/${list}`);
  const link = await page.$eval("a.main-link", (one) => one.getAttribute("href")).catch(() => null);
  if (!link) {
    fail(`${list}: there is nothing to open`);
    continue;
  }
  await open(link);
  await inspect(name);
  for (const summary of await page.$$(".actions summary")) await summary.evaluate((one) => (one.parentElement.open = true));
  await inspect(`${name}-forms`);
}

// Without scripts every page can be read, and the search is a form like any other.
await page.setJavaScriptEnabled(false);
await open("/console/deliveries");
if ((await page.$$("tr[data-row]")).length === 0) fail("without scripts there are no deliveries");
if (shots) await page.screenshot({ path: `${shots}/deliveries-without-scripts.png` });
await page.type("#q", "zzzz nothing is called so");
await Promise.all([page.waitForNavigation(), page.click(".filters button")]);
if (!(await text()).includes("No deliveries fit")) fail("without scripts the search does not search");
await page.setJavaScriptEnabled(true);
pass("read without scripts");

await open("/console/deliveries");
await page.keyboard.press("j");
if (!(await page.$("tr.chosen"))) fail("j chooses no row");
await page.keyboard.press("/");
if ((await page.evaluate(() => document.activeElement.id)) !== "q") fail("/ does not lead to the search");
await page.keyboard.type("zzzz nothing is called so");
await page.waitForSelector("#results .empty", { timeout: 5000 }).catch(() => fail("the list does not follow what is typed"));
pass("keys and search");
await page.keyboard.press("Escape");
await page.keyboard.press("?");
if (!(await page.$("#help[open]"))) fail("? does not open the help");
await page.keyboard.press("Escape");
if (await page.$("#help[open]")) fail("Escape does not close the help");
await page.keyboard.press("g");
await Promise.all([page.waitForNavigation(), page.keyboard.press("p")]);
if (!page.url().endsWith("/console/platforms")) fail(`g p leads to ${page.url()}`);
await page.keyboard.press("k");
await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
if (!/\/console\/platforms\/\d+$/.test(page.url())) fail(`Enter on a row leads to ${page.url()}`);
pass("gone about by keyboard");

// What others change shows on open pages, without a reload.
const change = async (path, reason) => {
  const answer = await fetch(`${base}/api/v1${path}`, {
    method: "POST", body: JSON.stringify({ reason }),
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
  });
  if (!answer.ok) fail(`${path}: ${answer.status} ${await answer.text()}`);
};
const turns = (words, isThere = true) => page.waitForFunction(
  (words, isThere) => document.querySelector("main").innerText.includes(words) === isThere,
  { timeout: 15000 }, words, isThere,
).catch(() => fail(`${page.url()} does not show by itself that ${words} ${isThere ? "is" : "is not"} there`));
for (const [path, pause, resume] of [
  ["/console/platforms/2", "/platforms/2/pause", "/platforms/2/resume"],
  ["/console/platforms", "/platforms/2/pause", "/platforms/2/resume"],
  ["/console/", "/platforms/2/pause", "/platforms/2/resume"],
  ["/console/jobs", "/platforms/2/pause", "/platforms/2/resume"],
  ["/console/cron", "/cron/retention/pause", "/cron/retention/resume"],
  ["/console/audit", "/cron/retention/pause", null],
]) {
  await open(path);
  await page.waitForFunction(() => document.getElementById("live-word").innerText === "live");
  const reason = `live on ${path}`;
  await change(pause, reason);
  await turns(reason);
  if (path === "/console/platforms/2") {
    // Not under the hands of somebody who fills in a form; afterwards it is made up for.
    await page.$$eval(".actions summary", (all) => all.find((one) => one.innerText.startsWith("Resume")).click());
    await page.type("#why-resume", "half a sen");
    await change(resume, reason);
    await new Promise((done) => setTimeout(done, 4000));
    if ((await page.$eval("#why-resume", (one) => one.value)) !== "half a sen") fail("a form was taken away");
    await page.$$eval(".actions summary", (all) => all.find((one) => one.innerText.startsWith("Resume")).click());
    await page.evaluate(() => document.activeElement.blur());
    await turns("Paused since", false);
  } else if (resume) {
    await change(resume, reason);
    if (path !== "/console/cron") await turns(reason, false);
  }
}
await change("/cron/retention/resume", "the walk goes on");
pass("open pages follow what others change");

// The story: a partner that is down, a delivery that waits for it, and an operator.
const story = process.env.STORY && JSON.parse(process.env.STORY);
if (story) {
  // The page is live: what can be done turns up when it can be done.
  const act = async (name, reason) => {
    const find = (name) => [...document.querySelectorAll("details.act")].find(
      (one) => one.querySelector("summary").innerText.trim().startsWith(name));
    const found = await page.waitForFunction(find, { timeout: 20000 }, name).catch(() => null);
    const form = found && found.asElement();
    if (!form) return fail(`there is no way to ${name}`);
    await form.$eval("summary", (one) => one.click());
    await (await form.$("input[name=reason]")).type(reason);
    await Promise.all([page.waitForNavigation(), form.$eval("button", (one) => one.click())]);
  };
  await open("/console/");
  await page.type("#search", story.isrc);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  const links = await page.$$eval("a.main-link", (all) => all.map((one) => one.getAttribute("href")));
  if (links.length === 0) fail("nothing is found by the ISRC");
  await open(links[0]);
  const shown = await text();
  if (!shown.includes(story.fault)) fail(`the fault is not shown: ${shown.slice(0, 400)}`);
  if (!shown.includes("What to do")) fail("there is no remedy");
  pass("found by ISRC, with the fault in words");
  await open(`/console/platforms/${story.platform}`);
  await act("Pause", "the partner is down");
  if (!(await text()).includes("the partner is down")) fail("the pause does not show its reason");
  pass("platform held");
  await open(links[0]);
  execFileSync("sh", ["-c", story.mend]);
  await act("Retry now", "it is back");
  const marked = await page.evaluate(() => (window.untouched = true));
  await change(`/platforms/${story.platform}/resume`, "the partner is back");
  await page.waitForFunction(
    () => document.querySelector(".badge.large").innerText === "accepted", { timeout: 60000 },
  ).catch(() => fail("it did not turn accepted on the open page"));
  if (!marked || !(await page.evaluate(() => window.untouched))) fail("the page was loaded anew");
  pass("watched it turn accepted");
  const timeline = await text();
  if (!timeline.includes("it is back")) fail("the timeline lacks the operator's reason");
  await open("/console/audit");
  const audit = await text();
  for (const word of ["platform.pause", "platform.resume", "delivery.retry", "the partner is down"]) {
    if (!audit.includes(word)) fail(`the audit lacks ${word}`);
  }
  pass("it stands in the audit");
}
await browser.close();
if (faults.length > 0) {
  console.log(`${faults.length} faults`);
  process.exit(1);
}
console.log("all is well");
