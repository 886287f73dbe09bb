// pg-boss with batches of 500, fetched again at once while they are full.

import { PgBoss } from "pg-boss";
import { connectionString, handle, jobs, run, slots } from "./stage.mjs";

// Workers of its own, each with a batch in hand.
const WORKERS = 4;

const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("noop");
for (let first = 0; first < jobs; first += 5000) {
  const batch = Array.from({ length: Math.min(5000, jobs - first) }, (_, n) => ({
    data: { id: first + n },
  }));
  await boss.insert("noop", batch);
}

await run(
  () =>
    boss.work(
      "noop",
      {
        batchSize: 500,
        localConcurrency: Math.min(WORKERS, slots),
        pollingIntervalSeconds: 0.5,
        burstWhenBatchFull: true,
      },
      (batch) => handle(batch.length),
    ),
  "select from pgboss.job where name = 'noop' and state < 'completed' limit 1",
);
