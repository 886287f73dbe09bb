-- Royalty runs: what usage said, who was to get what, what came of it, and the ledger.
-- Amounts are in the accounting currency unless a column says otherwise, in units of 10^-4.

create table worker.royalty_runs (
    id             uuid        not null primary key default worker.uuid_v7(),
    -- The month that is settled: `2026-10`.
    period         text        collate "C" not null check (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    -- 1, and one more for each run that corrects an earlier one of the period.
    revision       smallint    not null check (revision > 0),
    state          text        not null default 'running'
        check (state in ('running', 'pending', 'final', 'paid', 'void')),
    currency       text        not null,
    -- The rules it is computed by: jobs::royalty::Rules.
    rules          jsonb       not null,
    -- The job that computes it.
    job_id         uuid,
    -- What became of the computation when it failed for good.
    fault          text,
    -- SHA-256 of what it read, and of what came of it.
    input_digest   text,
    output_digest  text,
    -- The run that was made final last when this one read the balances.
    based_on       uuid,
    -- jobs::royalty::Totals.
    totals         jsonb,
    -- The span of ids of its rows in royalty_calculations.
    calculation_ids int8range,
    created_at     timestamptz not null,
    -- When its input was read and stored.
    input_at       timestamptz,
    computed_at    timestamptz,
    final_at       timestamptz,
    paid_at        timestamptz,
    void_at        timestamptz,
    check ((state in ('final', 'paid')) = (final_at is not null)),
    check ((state = 'void') = (void_at is not null)),
    check (state not in ('pending', 'final', 'paid') or computed_at is not null)
);
create unique index royalty_runs_open on worker.royalty_runs (period) where state in ('running', 'pending');
create unique index royalty_runs_revision on worker.royalty_runs (period, revision) where state <> 'void';

-- How far a computation has come. Apart from the run, whose row the computation itself writes.
create table worker.royalty_progress (
    run_id     uuid        not null primary key,
    phase      text        not null,
    done       bigint      not null,
    total      bigint      not null,
    updated_at timestamptz not null
);

-- What the shares of a release or track were, as they were seen to change. Rows are added only: of
-- those that hold on a day the last one counts, so a change today does not rewrite last month, and
-- one that is dated back does not rewrite what was settled before it was made.
create table worker.split_versions (
    id          bigint      generated always as identity primary key,
    release_id  integer,
    track_id    integer,
    -- From this day on: the day of the change, or revenue_shares.custom_terms.valid_from. The first
    -- version of a release or track holds for all days before.
    valid_from  date        not null,
    captured_at timestamptz not null,
    -- [{"share", "user_id", "percentage", "status", "split_type", "name", "role"}] in order of share:
    -- the ids and columns of revenue_shares.
    shares      jsonb       not null,
    check (num_nonnulls(release_id, track_id) = 1)
);
create index split_versions_release on worker.split_versions (release_id, id) where release_id is not null;
create index split_versions_track on worker.split_versions (track_id, id) where track_id is not null;

create function worker.date_or_null(text) returns date
    language plpgsql immutable strict set search_path = pg_catalog as $$
begin
    return case when $1 ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' then $1::date end;
exception when others then
    return null;
end $$;

-- Keeps the shares of these tracks and releases as they stand, where they are not as they were
-- kept last; of all, where both lists are NULL. The answer is the number of new versions.
create function worker.capture_splits(tracks integer[], releases integer[], at timestamptz)
    returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    with standing as (
        select track_id, case when track_id is null then release_id end as release_id,
            jsonb_agg(jsonb_build_object(
                'share', id, 'user_id', user_id, 'percentage', percentage::text,
                'status', coalesce(lower(btrim(status)), 'pending'),
                'split_type', coalesce(lower(btrim(split_type)), 'royalty'),
                'name', name, 'role', role) order by id) as shares,
            max(worker.date_or_null(custom_terms ->> 'valid_from')) as valid_from
        from public.revenue_shares
        where coalesce(track_id, release_id) is not null
          and (tracks is null and releases is null or track_id = any (tracks)
               or (track_id is null and release_id = any (releases)))
        group by 1, 2
    ), kept as (
        select distinct on (coalesce(track_id, 0), coalesce(release_id, 0)) track_id, release_id, shares, valid_from, captured_at
        from worker.split_versions
        where tracks is null and releases is null or track_id = any (tracks) or release_id = any (releases)
        order by coalesce(track_id, 0), coalesce(release_id, 0), id desc
    ), added as (
        insert into worker.split_versions (release_id, track_id, valid_from, captured_at, shares)
        select coalesce(s.release_id, k.release_id), coalesce(s.track_id, k.track_id),
            -- What is done on one day is one change.
            coalesce(s.valid_from, case when k.shares is null then '-infinity'
                                        when k.captured_at::date = at::date then k.valid_from
                                        else at::date end), at,
            coalesce(s.shares, '[]')
        from standing s
        full join kept k on coalesce(k.track_id, 0) = coalesce(s.track_id, 0)
                        and coalesce(k.release_id, 0) = coalesce(s.release_id, 0)
        where k.shares is distinct from coalesce(s.shares, '[]')
        order by 1, 2
        returning 1
    )
    select count(*) from added
$$;

-- For the triggers on revenue_shares, one for each kind of statement. The web application's
-- statement never fails for it.
create function worker.note_split_change() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    tracks integer[] := '{}';
    releases integer[] := '{}';
begin
    begin
        if tg_op <> 'DELETE' then
            select array_agg(distinct track_id) filter (where track_id is not null),
                   array_agg(distinct release_id) filter (where track_id is null)
            into tracks, releases from new_rows;
        end if;
        if tg_op <> 'INSERT' then
            select array_agg(distinct track_id) filter (where track_id is not null) || tracks,
                   array_agg(distinct release_id) filter (where track_id is null) || releases
            into tracks, releases from old_rows;
        end if;
        perform worker.capture_splits(coalesce(tracks, '{}'), coalesce(releases, '{}'), clock_timestamp());
    exception when others then
        raise warning 'the change of shares was not kept now and will be with the next run: %', sqlerrm;
    end;
    return null;
end $$;

-- What a row of analytics was reported as, where that was not the accounting currency. Written by
-- whoever imports usage; a row of analytics without one is in the accounting currency.
create table worker.usage_amounts (
    -- public.analytics.id
    analytics_id integer not null primary key,
    currency     text    collate "C" not null check (currency ~ '^[A-Z]{3}$'),
    -- In that currency, exact.
    amount       numeric not null,
    -- Accounting currency per unit, its day and its source; NULL: there was none, and
    -- analytics.revenue does not hold the amount yet.
    rate         numeric check (rate > 0),
    rate_date    date,
    rate_source  text
);

-- Which version of the splits holds for a track on which days of a month, as a run reads them.
create table worker.royalty_segments (
    run_id        uuid    not null,
    usage_month   date    not null,
    track_id      integer not null,
    first_day     date    not null,
    last_day      date    not null,
    split_version bigint  not null,
    -- Whether the month has more than this one.
    is_part       boolean not null,
    primary key (run_id, usage_month, track_id, first_day)
);

-- What a run settles of usage: what usage said when it looked, minus what other runs have settled.
create table worker.royalty_lines (
    run_id         uuid    not null,
    usage_month    date    not null,
    track_id       integer not null,
    -- worker.split_versions; 0: the owner has all.
    split_version  bigint  not null,
    -- public.distribution_platforms; 0: none.
    platform_id    integer not null,
    -- `ZZ`: unknown.
    territory      text    collate "C" not null,
    is_download    boolean not null,
    -- Of the report.
    currency       text    collate "C" not null,
    streams        bigint  not null,
    downloads      bigint  not null,
    revenue        numeric not null,
    -- In `currency`; NULL where that is the accounting currency.
    original       numeric,
    lowest_rate    numeric,
    highest_rate   numeric,
    -- Rows of usage for which there was no rate.
    unconverted    bigint  not null,
    -- Some of it is streams times the platform's rate.
    is_estimated   boolean not null
);
create index royalty_lines_key on worker.royalty_lines (run_id, usage_month, track_id);

-- What a run shares out: a track's usage of a month under one version of its splits, with all that
-- decides who gets what.
create table worker.royalty_tracks (
    run_id        uuid    not null,
    usage_month   date    not null,
    track_id      integer not null,
    split_version bigint  not null,
    -- As they were called then: the rows in public may go.
    title         text    not null,
    isrc          text,
    release_id    integer,
    release_title text,
    upc           text,
    owner_id      integer not null,
    -- What is shared out: the revenue of its lines; in a revision all of the month's.
    revenue       numeric not null,
    streams       bigint  not null,
    downloads     bigint  not null,
    -- The lines in short, for the digest.
    line_digest   text    not null,
    -- What a line holds that a column of royalty_calculations cannot.
    is_too_large  boolean not null,
    unconverted   bigint  not null,
    -- The owner's parent label, its parent, and so on.
    labels        integer[] not null,
    -- rights_management.royalty_terms that apply, and the row's id.
    terms         jsonb   not null,
    terms_id      integer,
    -- Of the version; with "is_agreed" for those that count as agreed now.
    shares        jsonb   not null,
    -- Payees among them that are no users.
    unknown_payees integer[] not null,
    -- Why it is not settled: a code, and the sentence; NULL: it is.
    set_aside     text,
    set_aside_why text,
    primary key (run_id, usage_month, track_id, split_version)
);
create index royalty_tracks_set_aside on worker.royalty_tracks (run_id, usage_month, track_id)
    where set_aside is not null;

-- What each payee earns in a run, per track. The house is payee 0.
create table worker.royalty_shares (
    run_id        uuid    not null,
    payee_id      integer not null,
    usage_month   date    not null,
    track_id      integer not null,
    split_version bigint  not null,
    kind          text    collate "C" not null,
    -- Of what it was taken from.
    percentage    numeric not null,
    amount        numeric not null,
    primary key (run_id, payee_id, usage_month, track_id, split_version, kind)
);

-- What is taken from and added to a payee's earnings in a run, before they are paid.
create table worker.royalty_steps (
    run_id    uuid    not null,
    payee_id  integer not null,
    kind      text    collate "C" not null,
    -- The charge, the reserve, or nothing.
    reference text    collate "C" not null default '',
    amount    numeric not null,
    primary key (run_id, payee_id, kind, reference)
);

-- Advances and costs to be recouped from what a payee earns.
create table worker.charges (
    id          bigint      generated always as identity primary key,
    payee_id    integer     not null,
    kind        text        not null check (kind in ('advance', 'cost')),
    -- From what it is recouped: a release's or a track's earnings; NULL both: all.
    release_id  integer,
    track_id    integer,
    amount      numeric     not null check (amount > 0),
    recouped    numeric     not null default 0 check (recouped between 0 and amount),
    description text        not null,
    created_at  timestamptz not null,
    check (num_nonnulls(release_id, track_id) < 2)
);
create index charges_open on worker.charges (payee_id, id) where recouped < amount;

-- What was kept back from a payee's earnings, and when it is given.
create table worker.reserves (
    id            bigint  generated always as identity primary key,
    payee_id      integer not null,
    run_id        uuid    not null,
    amount        numeric not null check (amount > 0),
    released      numeric not null default 0 check (released between 0 and amount),
    -- With the run of this period, or the first one after it.
    release_period text   collate "C" not null,
    unique (run_id, payee_id)
);
create index reserves_open on worker.reserves (payee_id, id) where released < amount;

-- What holds for a payee instead of the configuration; NULL: the configuration.
create table worker.payee_terms (
    payee_id            integer     not null primary key,
    reserve_percent     numeric     check (reserve_percent between 0 and 100),
    withholding_percent numeric     check (withholding_percent between 0 and 100),
    minimum_payout      numeric     check (minimum_payout >= 0),
    updated_at          timestamptz not null
);

-- The truth about what was earned, owed and paid. Rows are added and never changed.
create table worker.ledger_entries (
    id            bigint      generated always as identity primary key,
    -- NULL: a withdrawal.
    run_id        uuid,
    payee_id      integer     not null,
    usage_month   date,
    track_id      integer,
    split_version bigint,
    kind          text        collate "C" not null,
    -- The charge, the reserve, the withdrawal.
    reference     text        collate "C" not null default '',
    amount        numeric     not null check (scale(amount) <= 4),
    currency      text        not null,
    posted_at     timestamptz not null,
    unique nulls not distinct (payee_id, run_id, usage_month, track_id, split_version, kind, reference)
);
create index ledger_entries_open on worker.ledger_entries (payee_id)
    where kind in ('carried_in', 'carried_out', 'share_held', 'held_released');
create index ledger_entries_track on worker.ledger_entries (track_id, usage_month) where track_id is not null;

create function worker.ledger_is_append_only() returns trigger
    language plpgsql as $$
begin
    raise exception 'worker.ledger_entries is append-only: % refused', tg_op
        using errcode = 'insufficient_privilege';
end $$;
create trigger ledger_append_only before update or delete or truncate on worker.ledger_entries
    for each statement execute function worker.ledger_is_append_only();

-- What each payee is to be paid of a run, from when it is final; and that it was.
create table worker.royalty_payments (
    run_id    uuid        not null,
    payee_id  integer     not null,
    payable   numeric     not null check (payable > 0),
    paid_at   timestamptz,
    -- The bank's, or whoever paid.
    reference text,
    primary key (run_id, payee_id)
);
create index royalty_payments_due on worker.royalty_payments (payee_id) where paid_at is null;
