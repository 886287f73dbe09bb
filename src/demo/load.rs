//! Puts the demo's catalogue, platforms and schedules into the web application's tables, as that
//! application would. It stands for the web application, which is why its SQL lives here and not
//! in `jobs`. Everything goes by natural keys (username, UPC, ISRC, platform name), so that doing
//! it again changes nothing but the platforms' addresses.

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

use super::catalogue::{Catalogue, Release};
use crate::partners::platform::PlatformRow;

/// Loads everything in one transaction: all of it is there, or nothing.
pub(crate) async fn load(
    pool: &PgPool,
    catalogue: &Catalogue,
    platforms: &[PlatformRow],
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let load = async {
        let mut transaction = pool.begin().await?;
        accounts(&mut transaction, catalogue).await?;
        releases(&mut transaction, catalogue, now).await?;
        tracks(&mut transaction, catalogue).await?;
        rights(&mut transaction, catalogue, now).await?;
        for platform in platforms {
            upsert_platform(&mut transaction, platform).await?;
        }
        schedules(&mut transaction, platforms, now).await?;
        transaction.commit().await
    };
    load.await
        .context("the demo's catalogue cannot be loaded into the database")
}

async fn accounts(connection: &mut PgConnection, catalogue: &Catalogue) -> sqlx::Result<()> {
    let rows: Value = catalogue
        .accounts
        .iter()
        .map(|account| {
            json!({
                "username": account.username,
                "full_name": account.full_name,
                "role": account.role,
                "parent": account.parent,
            })
        })
        .collect();
    // `!` is the hash of no password: nobody can log in as a demo account.
    sqlx::query(
        "insert into public.users
             (username, email, password, full_name, role, status, approval_status, email_verified)
         select username, username || '@demo.invalid', '!', full_name, role::public.user_role,
                'active', 'approved', true
         from jsonb_to_recordset($1) as r(username text, full_name text, role text)
         on conflict (username) do nothing",
    )
    .bind(&rows)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update public.users as child set parent_label_id = parent.id
         from jsonb_to_recordset($1) as r(username text, parent text)
         join public.users as parent on parent.username = r.parent
         where child.username = r.username and child.parent_label_id is null",
    )
    .bind(&rows)
    .execute(connection)
    .await?;
    Ok(())
}

async fn releases(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let rows: Value = catalogue
        .releases
        .iter()
        .map(|release| {
            json!({
                "owner": release.owner,
                "title": release.title,
                "type": release.release_type,
                "days_ahead": release.days_ahead,
                "artwork": release.artwork_path(),
                "upc": release.upc,
                "genre": release.genre,
                "language": release.language,
                "is_explicit": release.is_explicit,
                "description": release.description,
                "artist_names": release.artist_names,
                "metadata": release.metadata,
                "credits": release.credits,
            })
        })
        .collect();
    sqlx::query(
        "insert into public.releases
             (user_id, title, type, release_date, artwork, upc, genre, language, is_explicit,
              description, artist_names, status, metadata, credits)
         select owner.id, r.title, r.type::public.content_type, $2::date + r.days_ahead, r.artwork,
                r.upc, r.genre, r.language::public.language, r.is_explicit, r.description,
                r.artist_names, 'approved', r.metadata, r.credits
         from jsonb_to_recordset($1) as r(owner text, title text, type text, days_ahead integer,
             artwork text, upc text, genre text, language text, is_explicit boolean,
             description text, artist_names text, metadata jsonb, credits jsonb)
         join public.users as owner on owner.username = r.owner
         on conflict (upc) do nothing",
    )
    .bind(&rows)
    .bind(now.date_naive())
    .execute(connection)
    .await?;
    Ok(())
}

async fn tracks(connection: &mut PgConnection, catalogue: &Catalogue) -> sqlx::Result<()> {
    let rows: Value = catalogue.releases.iter().flat_map(track_rows).collect();
    sqlx::query(
        "insert into public.tracks
             (release_id, user_id, title, artist, duration, audio_file, isrc, track_number,
              is_explicit, genre, language, bpm, key, metadata, credits)
         select release.id, release.user_id, r.title, r.artist, r.duration, r.audio_file, r.isrc,
                r.track_number, r.is_explicit, r.genre, r.language::public.language, r.bpm, r.key,
                r.metadata, r.credits
         from jsonb_to_recordset($1) as r(upc text, title text, artist text, duration integer,
             audio_file text, isrc text, track_number integer, is_explicit boolean, genre text,
             language text, bpm integer, key text, metadata jsonb, credits jsonb)
         join public.releases as release on release.upc = r.upc
         on conflict (isrc) do nothing",
    )
    .bind(&rows)
    .execute(connection)
    .await?;
    Ok(())
}

fn track_rows(release: &Release) -> impl Iterator<Item = Value> {
    release.tracks.iter().map(|track| {
        json!({
            "upc": release.upc,
            "title": track.title,
            "artist": track.artist,
            "duration": track.seconds,
            "audio_file": release.audio_path(track),
            "isrc": track.isrc,
            "track_number": track.number,
            "is_explicit": track.is_explicit,
            "genre": track.genre.as_ref().unwrap_or(&release.genre),
            "language": track.language,
            "bpm": track.bpm,
            "key": track.key,
            "metadata": track.metadata(),
            "credits": track.credits,
        })
    })
}

async fn rights(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let of = |release: &Release| -> Vec<Value> {
        let row = |right: &super::catalogue::Right| {
            json!({
                "upc": release.upc,
                "ownership": right.ownership,
                "verification": right.verification,
                "territories": right.territories,
                "expires_in_days": right.expires_in_days,
            })
        };
        release.rights.iter().map(row).collect()
    };
    let rows: Value = catalogue.releases.iter().flat_map(of).collect();
    sqlx::query(
        "insert into public.rights_management
             (release_id, user_id, ownership_type, verification_status, verification_date,
              expiration_date, territories)
         select release.id, release.user_id, r.ownership::public.ownership_type, r.verification,
                $2::timestamp, $2::timestamp + r.expires_in_days * interval '1 day', r.territories
         from jsonb_to_recordset($1) as r(upc text, ownership text, verification text,
             territories text[], expires_in_days integer)
         join public.releases as release on release.upc = r.upc
         where not exists (select from public.rights_management as held
                           where held.release_id = release.id)",
    )
    .bind(&rows)
    .bind(now.naive_utc())
    .execute(connection)
    .await?;
    Ok(())
}

async fn upsert_platform(
    connection: &mut PgConnection,
    platform: &PlatformRow,
) -> sqlx::Result<()> {
    let updated = sqlx::query(
        "update public.distribution_platforms
         set api_endpoint = $2, api_credentials = $3, format_specs = $4
         where name = $1",
    )
    .bind(platform.name)
    .bind(&platform.api_endpoint)
    .bind(&platform.api_credentials)
    .bind(&platform.format_specs)
    .execute(&mut *connection)
    .await?;
    if updated.rows_affected() > 0 {
        return Ok(());
    }
    sqlx::query(
        "insert into public.distribution_platforms
             (name, api_endpoint, api_credentials, format_specs, status, delivery_method,
              requirements, territory_restrictions, processing_time)
         values ($1, $2, $3, $4, 'active', $5, $6, $7, $8)",
    )
    .bind(platform.name)
    .bind(&platform.api_endpoint)
    .bind(&platform.api_credentials)
    .bind(&platform.format_specs)
    .bind(platform.delivery_method)
    .bind(&platform.requirements)
    .bind(platform.territory_restrictions)
    .bind(platform.processing_time)
    .execute(connection)
    .await?;
    Ok(())
}

/// One schedule for each release that has none, to all platforms, due now.
async fn schedules(
    connection: &mut PgConnection,
    platforms: &[PlatformRow],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let names: Vec<&str> = platforms.iter().map(|platform| platform.name).collect();
    sqlx::query(
        "insert into public.scheduled_distributions
             (release_id, user_id, scheduled_date, platform_ids, status)
         select release.id, release.user_id, $2::timestamp,
                (select array_agg(id order by id) from public.distribution_platforms
                 where name = any($1)),
                'pending'
         from public.releases as release
         where not exists (select from public.scheduled_distributions as schedule
                           where schedule.release_id = release.id)
         order by release.id",
    )
    .bind(names)
    .bind(now.naive_utc())
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use jobs::catalog::{self, Terms, Withholding};
    use platform_adapters::{
        Kind,
        package::{self, AssetStore},
        release::Territories,
        settings::Platform,
    };
    use test_support::TestDatabase;

    use super::*;
    use crate::demo::media;

    fn platform(endpoint: &str) -> PlatformRow {
        PlatformRow {
            name: "Nordlys",
            delivery_method: "api",
            api_endpoint: endpoint.into(),
            api_credentials: json!({"bearer_token": {"env": "NOT_READ"}}),
            requirements: json!({"artwork": {"min_px": 3000, "formats": ["jpeg"]}}),
            format_specs: json!({"audio": ["flac", "wav"], "allow_private_addresses": true}),
            territory_restrictions: &["KP"],
            processing_time: "24 hours",
        }
    }

    async fn count(pool: &PgPool, table: &str) -> i64 {
        let statement = format!("select count(*) from public.{table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_one(pool)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn loading_again_changes_only_the_addresses() {
        let database = TestDatabase::create().await;
        let pool = database.pool();
        let catalogue = Catalogue::embedded().unwrap();
        let now = jobs::clock::system()();
        let first = [platform("http://127.0.0.1:1/")];
        load(pool, &catalogue, &first, now).await.unwrap();
        let later = now + TimeDelta::days(3);
        let second = [platform("http://127.0.0.1:2/")];
        load(pool, &catalogue, &second, later).await.unwrap();

        let releases = i64::try_from(catalogue.releases.len()).unwrap();
        assert_eq!(count(pool, "releases").await, releases);
        assert_eq!(count(pool, "scheduled_distributions").await, releases);
        let tracks = i64::try_from(catalogue.track_count()).unwrap();
        assert_eq!(count(pool, "tracks").await, tracks);
        assert_eq!(count(pool, "users").await, catalogue.accounts.len() as i64);
        assert_eq!(count(pool, "distribution_platforms").await, 1);
        let moved: i64 = sqlx::query_scalar(
            "select count(*) from public.releases where release_date::date <> $1::date + 21
             and title = 'Midnight Ferry'",
        )
        .bind(now.date_naive())
        .fetch_one(pool)
        .await
        .unwrap();
        assert_eq!(moved, 0, "a street date stays what it was");
        let endpoint: String =
            sqlx::query_scalar("select api_endpoint from public.distribution_platforms")
                .fetch_one(pool)
                .await
                .unwrap();
        assert_eq!(endpoint, "http://127.0.0.1:2/");
        let sub_labels: i64 = sqlx::query_scalar(
            "select count(*) from public.users as child
             join public.users as parent on parent.id = child.parent_label_id
             where parent.username = 'nordlicht'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        assert_eq!(sub_labels, 1);
    }

    #[tokio::test]
    async fn every_release_passes_the_package_check() {
        let database = TestDatabase::create().await;
        let mut connection = database.pool().acquire().await.unwrap();
        let catalogue = Catalogue::embedded().unwrap();
        let now = jobs::clock::system()();
        let rows = [platform("http://127.0.0.1:1/")];
        load(database.pool(), &catalogue, &rows, now).await.unwrap();
        let root = tempfile::tempdir().unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        media::make_on_all_processors(&catalogue, root.path(), &stop, &|_, _| {}).unwrap();
        let assets = AssetStore::local(root.path()).unwrap();
        let ids: Vec<(i32, String, i32)> = sqlx::query_as(
            "select release.id, release.upc, platform.id from public.releases as release
             cross join public.distribution_platforms as platform order by release.id",
        )
        .fetch_all(database.pool())
        .await
        .unwrap();
        for (release, upc, platform) in ids {
            let row = catalog::platform_row(&mut connection, platform).await;
            let platform = Platform::from_row(&row.unwrap().unwrap()).unwrap();
            let terms = Terms {
                withholding: &Withholding::default(),
                restrictions: &platform.territory_restrictions,
                now,
            };
            let release = catalog::load(&mut connection, release, platform.id, Some(terms))
                .await
                .unwrap();
            let package = package::assemble(&release, &platform, Kind::Insert, &assets)
                .await
                .unwrap_or_else(|fault| panic!("{}: {fault}", release.title));
            let entry = catalogue.releases.iter().find(|r| r.upc.as_str() == upc);
            let entry = entry.unwrap();
            assert_eq!(package.tracks.len(), entry.tracks.len());
            let limited = entry.rights.iter().any(|right| right.territories.is_some());
            assert_eq!(matches!(package.territories, Territories::Only(_)), limited);
        }
    }
}
