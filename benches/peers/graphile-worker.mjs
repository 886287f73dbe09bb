// graphile-worker with its fastest setting: a local queue of 500, completions in batches.

import { run as startWorker, makeWorkerUtils } from "graphile-worker";
import { connectionString, handle, jobs, run, slots } from "./stage.mjs";

const utils = await makeWorkerUtils({ connectionString });
await utils.migrate();
await utils.withPgClient((client) =>
  client.query(
    `select graphile_worker.add_jobs(array(
       select json_populate_record(null::graphile_worker.job_spec,
         json_build_object('identifier', 'noop', 'payload', json_build_object('id', n)))
       from generate_series(1, $1::int) n))`,
    [jobs],
  ),
);
await utils.release();

const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };
const { Logger } = await import("graphile-worker");
const logger = new Logger(() => (level, message) => quiet[level === "warning" ? "warn" : level]?.(message));

await run(
  () =>
    startWorker({
      preset: {
        worker: {
          connectionString,
          concurrentJobs: slots,
          maxPoolSize: slots + 1,
          localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
          logger,
        },
      },
      taskList: { noop: () => handle() },
    }),
  "select from graphile_worker._private_jobs limit 1",
);
