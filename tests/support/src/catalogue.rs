//! Rows and files as the web application leaves them: releases that can be delivered, platforms,
//! schedules.

use std::{fs, path::Path};

use sqlx::PgPool;

/// A square JPEG of 64 pixels.
pub const COVER: &[u8] = include_bytes!("../media/cover.jpg");

/// A second of stereo, 16 bits, 44.1 kHz, not silent; `seed` makes files that differ.
#[must_use]
pub fn wav(seed: u8) -> Vec<u8> {
    const RATE: u32 = 44_100;
    let data = RATE * 4;
    let mut bytes = Vec::with_capacity(44 + data as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16u32.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes()); // PCM
    bytes.extend_from_slice(&2u16.to_le_bytes());
    bytes.extend_from_slice(&RATE.to_le_bytes());
    bytes.extend_from_slice(&(RATE * 4).to_le_bytes());
    bytes.extend_from_slice(&4u16.to_le_bytes());
    bytes.extend_from_slice(&16u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data.to_le_bytes());
    let mut state = u32::from(seed) + 1;
    bytes.extend((0..data).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    }));
    bytes
}

/// The owner of every release made here.
pub async fn owner(pool: &PgPool) -> i32 {
    sqlx::query_scalar(
        "insert into users (username, email, password, full_name, status)
         values ('owner', 'owner@label.example', '-', 'Nordlicht Records', 'active')
         on conflict (username) do update set full_name = excluded.full_name returning id",
    )
    .fetch_one(pool)
    .await
    .expect("an owner is made")
}

/// A single with one track that passes the package check, its files below `assets`. `number`
/// (below 100,000) gives it its own UPC and ISRC.
pub async fn release(pool: &PgPool, assets: &Path, number: u32) -> i32 {
    let directory = assets.join(number.to_string());
    fs::create_dir_all(&directory).expect("the directory of assets is made");
    fs::write(directory.join("cover.jpg"), COVER).expect("the cover is written");
    fs::write(directory.join("1.wav"), wav((number % 251) as u8)).expect("the track is written");
    let owner = owner(pool).await;
    let release: i32 = sqlx::query_scalar(
        r#"insert into releases (user_id, title, type, release_date, artwork, upc, genre,
               artist_names, status, metadata)
           values ($1, $2, 'single', '2026-05-01', $3, $4, 'Pop', 'Ada Quell', 'approved',
               '{"label": "Nordlicht Records", "p_line": {"year": 2026, "text": "Nordlicht Records"},
                 "c_line": {"year": 2026, "text": "Nordlicht Records"}}')
           returning id"#,
    )
    .bind(owner)
    .bind(format!("Single {number}"))
    .bind(format!("{number}/cover.jpg"))
    .bind(upc(number))
    .fetch_one(pool)
    .await
    .expect("a release is made");
    sqlx::query(
        "insert into tracks (release_id, user_id, title, artist, duration, audio_file, isrc, track_number)
         values ($1, $2, 'One', 'Ada Quell', 1, $3, $4, 1)",
    )
    .bind(release)
    .bind(owner)
    .bind(format!("{number}/1.wav"))
    .bind(format!("DEA0126{number:05}"))
    .execute(pool)
    .await
    .expect("a track is made");
    release
}

/// `count` singles that pass the package check, each with its own UPC and ISRC, and all with the same
/// cover and track of about 1 kB below `assets`. In one statement, for measuring.
pub async fn singles(pool: &PgPool, assets: &Path, count: i32) -> Vec<i32> {
    // A header and some 5 ms of sound.
    let mut track = wav(1);
    track.truncate(1000);
    for (place, size) in [(4, 992u32), (40, 956)] {
        track.splice(place..place + 4, size.to_le_bytes());
    }
    fs::write(assets.join("cover.jpg"), COVER).expect("the cover is written");
    fs::write(assets.join("1.wav"), track).expect("the track is written");
    let owner = owner(pool).await;
    sqlx::query_scalar(
        r#"with numbered as (
               select number, '84' || lpad(number::text, 9, '0') as body
               from generate_series(1, $2) as number
           ), made as (
               insert into releases (user_id, title, type, release_date, artwork, upc, genre,
                   artist_names, status, metadata)
               select $1, 'Single ' || number, 'single', '2026-05-01', 'cover.jpg',
                   body || (10 - (select sum(substr(body, place, 1)::int * case place % 2 when 1 then 3 else 1 end)
                                  from generate_series(1, 11) as place) % 10) % 10,
                   'Pop', 'Ada Quell', 'approved',
                   '{"label": "Nordlicht Records", "p_line": {"year": 2026, "text": "Nordlicht Records"},
                     "c_line": {"year": 2026, "text": "Nordlicht Records"}}'
               from numbered
               returning id, title
           )
           insert into tracks (release_id, user_id, title, artist, duration, audio_file, isrc, track_number)
           select id, $1, 'One', 'Ada Quell', 1, '1.wav',
               'DEA' || lpad(substr(title, 8), 9, '0'), 1
           from made
           returning release_id"#,
    )
    .bind(owner)
    .bind(count)
    .fetch_all(pool)
    .await
    .expect("releases are made")
}

/// A UPC with its check digit.
fn upc(number: u32) -> String {
    let body = format!("842{number:08}");
    let sum: u32 = body
        .bytes()
        .rev()
        .zip([3, 1].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// An active platform of method `sftp` that takes small covers. Its endpoint is nowhere.
pub async fn platform(pool: &PgPool, name: &str) -> i32 {
    sqlx::query_scalar(
        r#"insert into distribution_platforms (name, delivery_method, api_endpoint, requirements)
           values ($1, 'sftp', 'sftp://127.0.0.1:1/incoming', '{"artwork": {"min_px": 16}}')
           returning id"#,
    )
    .bind(name)
    .fetch_one(pool)
    .await
    .expect("a platform is made")
}

/// A schedule that has been due for a minute.
pub async fn schedule(pool: &PgPool, release: i32, platforms: &[i32]) -> i32 {
    let owner = owner(pool).await;
    sqlx::query_scalar(
        "insert into scheduled_distributions (release_id, user_id, scheduled_date, platform_ids)
         values ($1, $2, now() - interval '1 minute', $3) returning id",
    )
    .bind(release)
    .bind(owner)
    .bind(platforms)
    .fetch_one(pool)
    .await
    .expect("a schedule is made")
}

/// Schedules each release to the platforms, the first now and the others evenly over `spread`.
pub async fn schedule_spread(
    pool: &PgPool,
    releases: &[i32],
    platforms: &[i32],
    spread: std::time::Duration,
) {
    let owner = owner(pool).await;
    sqlx::query(
        "insert into scheduled_distributions (release_id, user_id, scheduled_date, platform_ids)
         select release, $2, now() + make_interval(secs => $4) * (place - 1) / cardinality($1::int[]), $3
         from unnest($1::int[]) with ordinality as given (release, place)",
    )
    .bind(releases)
    .bind(owner)
    .bind(platforms)
    .bind(spread.as_secs_f64())
    .execute(pool)
    .await
    .expect("schedules are made");
}
