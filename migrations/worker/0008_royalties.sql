-- Royalties: exchange rates.

-- What one unit of `base` was worth in `quote` on a day, as its source published it.
create table worker.exchange_rates (
    base        text        collate "C" not null check (base ~ '^[A-Z]{3}$'),
    quote       text        collate "C" not null check (quote ~ '^[A-Z]{3}$'),
    date        date        not null,
    -- Exact, as published.
    rate        numeric     not null check (rate > 0),
    -- Who published it: `ECB`, or what the import was told.
    source      text        not null check (btrim(source) <> ''),
    imported_at timestamptz not null,
    primary key (base, quote, date),
    check (base <> quote)
);
-- A run needs all pairs of a few weeks.
create index exchange_rates_date on worker.exchange_rates (date);
