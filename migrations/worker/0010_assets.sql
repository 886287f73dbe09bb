-- What was found out about audio and artwork by reading all of it: an unchanged file is not read
-- again to be packaged.
create table worker.assets (
    -- assets.root, as the store itself names it.
    store    text        collate "C" not null,
    -- As in releases.artwork and tracks.audio_file.
    path     text        collate "C" not null,
    -- As the store names it (ETag): another one is another file.
    version  text        collate "C" not null,
    -- What was looked for; more of it by a later version of the worker is another word.
    kind     text        collate "C" not null,
    -- Lower-case hex.
    sha256   text        collate "C" not null check (sha256 ~ '^[0-9a-f]{64}$'),
    md5      text        collate "C" not null check (md5 ~ '^[0-9a-f]{32}$'),
    -- What is wrong with its content (platform_adapters::package::Flaw); an empty list: nothing.
    flaws    jsonb       not null,
    found_at timestamptz not null default now(),
    primary key (store, path)
);
