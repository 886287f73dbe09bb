// What every peer on Node does alike: it inserts its jobs, says "ready", starts to work at a line on
// standard input, and says "done" when all are acknowledged in the database.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

export const [jobs, sleepMs, slots] = process.argv.slice(2).map(Number);
export const connectionString = process.env.DATABASE_URL;

let handled = 0;

// What every job does.
export async function handle(count = 1) {
  if (sleepMs > 0) await sleep(sleepMs);
  handled += count;
}

// `work` starts the worker; `left` is a query that gives a row while a job is not acknowledged.
export async function run(work, left) {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query("vacuum analyze");
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log("ready");
  await lines.next();
  await work();
  while (handled < jobs || (await client.query(left)).rowCount > 0) {
    await sleep(2);
  }
  console.log("done");
  // Alive until its processor time has been read.
  await lines.next();
  process.exit(0);
}
