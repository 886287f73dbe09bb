"""procrastinate as a peer of the benchmark `queue`, with as many jobs at once as we have slots: it
inserts its jobs, says "ready", starts to work at a line on standard input, and says "done" when all
are acknowledged in the database."""

import asyncio
import logging
import os
import sys

import psycopg
from procrastinate import App, PsycopgConnector

JOBS, SLEEP_MS, SLOTS = (int(argument) for argument in sys.argv[1:4])
URL = os.environ["DATABASE_URL"]
# Inserted with one statement.
BATCH = 5000

app = App(connector=PsycopgConnector(conninfo=URL, min_size=2, max_size=SLOTS + 2))
handled = 0


@app.task(name="noop")
async def noop(id):
    global handled
    if SLEEP_MS > 0:
        await asyncio.sleep(SLEEP_MS / 1000)
    handled += 1


async def until_acknowledged():
    left = "select from procrastinate_jobs where status in ('todo', 'doing') limit 1"
    async with await psycopg.AsyncConnection.connect(URL, autocommit=True) as connection:
        while True:
            if handled >= JOBS:
                found = await connection.execute(left)
                if await found.fetchone() is None:
                    return
            await asyncio.sleep(0.002)


async def line():
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def main():
    # A line for each job would be measured.
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for first in range(0, JOBS, BATCH):
            batch = range(first, min(first + BATCH, JOBS))
            await noop.batch_defer_async(*({"id": number} for number in batch))
        async with await psycopg.AsyncConnection.connect(URL, autocommit=True) as connection:
            await connection.execute("vacuum analyze")
        print("ready", flush=True)
        await line()
        worker = asyncio.create_task(app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False))
        await until_acknowledged()
        print("done", flush=True)
        # Alive until its processor time has been read.
        await line()
        worker.cancel()
        os._exit(0)


asyncio.run(main())
