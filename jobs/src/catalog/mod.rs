//! The web application's rows → the release model. What the rows say is taken as it is; whether it
//! can be sent is the package's check. What cannot be read at all is a fault that names table, id
//! and path.

mod metadata;
mod platform;
mod platforms;

use chrono::{DateTime, NaiveDateTime, Utc};
use platform_adapters::{
    Code, Fault,
    release::{Credits, Release, ReleaseType, Territories, Track},
};
use serde_json::Value;
use sqlx::PgConnection;

use metadata::Metadata;
pub use platform::{active_platform_rows, platform_row};
pub use platforms::{PlatformQueue, platforms};

/// Why a release in order is not sent all the same (configuration `catalog`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Withholding {
    /// `releases.status` that are not sent.
    pub release_statuses: Vec<String>,
    /// `users.status` of owners who are not sent for.
    pub owner_statuses: Vec<String>,
    /// Rights must be there and verified; otherwise absent rows pass.
    pub require_verified_rights: bool,
}

impl Default for Withholding {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Self {
            release_statuses: words(&["draft", "rejected", "archived", "deleted", "taken_down"]),
            owner_statuses: words(&["suspended", "deactivated", "rejected", "locked"]),
            require_verified_rights: false,
        }
    }
}

/// Why a release could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The release is gone, cannot be read, or is withheld.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Loads a release with its tracks and checks that nothing withholds it. Without `withholding`
/// nothing does: what may not be sold can still be taken down.
///
/// # Errors
/// [`CatalogError::Fault`] with [`Code::ReleaseUnreadable`] or [`Code::ReleaseWithheld`].
pub async fn load(
    conn: &mut PgConnection,
    release_id: i32,
    withholding: Option<&Withholding>,
    now: DateTime<Utc>,
) -> Result<Release, CatalogError> {
    let row = sqlx::query!(
        r#"select r.title, r.type::text as "release_type!", r.release_date, r.artwork, r.upc, r.genre,
               coalesce(r.language::text, 'english') as "language!",
               coalesce(r.is_explicit, false) as "is_explicit!", r.artist_names,
               coalesce(r.status, 'draft') as "status!", r.metadata, r.credits,
               u.full_name as owner_name, u.status::text as "owner_status!"
           from public.releases r join public.users u on u.id = r.user_id
           where r.id = $1"#,
        release_id
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| {
        Fault::new(Code::ReleaseUnreadable, format!("release {release_id} is not there any more"))
            .with_remedy("Nothing can be sent of a deleted release; cancel its schedules.")
    })?;

    let withheld = |why: String, remedy: &str| {
        Fault::new(
            Code::ReleaseWithheld,
            format!("release {release_id} ({:?}) {why}", row.title),
        )
        .with_remedy(remedy)
    };
    if withholding.is_some_and(|withheld| withheld.release_statuses.contains(&row.status)) {
        return Err(withheld(
            format!("has status {:?}", row.status),
            "Approve the release, then schedule it again.",
        )
        .into());
    }
    if withholding.is_some_and(|withheld| withheld.owner_statuses.contains(&row.owner_status)) {
        return Err(withheld(
            format!(
                "belongs to {:?}, whose account is {}",
                row.owner_name, row.owner_status
            ),
            "Settle the account's state, then schedule the release again.",
        )
        .into());
    }
    let territories = match withholding {
        Some(withholding) => rights(conn, release_id, withholding, now)
            .await?
            .map_err(|why| withheld(why, "Clear the rights, then schedule the release again."))?,
        None => Territories::Worldwide,
    };

    let unreadable = |table: &str, id: i32, problem: String| {
        Fault::new(
            Code::ReleaseUnreadable,
            format!(
                "{table} {id} of release {release_id} ({:?}): {problem}",
                row.title
            ),
        )
    };
    let metadata = Metadata::read(row.metadata.as_ref())
        .map_err(|problem| unreadable("releases", release_id, problem))?;
    let credits = credits(row.credits.as_ref())
        .map_err(|problem| unreadable("releases", release_id, problem))?;
    let release_type = release_type(&row.release_type).ok_or_else(|| {
        unreadable(
            "releases",
            release_id,
            format!("type {:?} is not known", row.release_type),
        )
    })?;
    let mut release = Release {
        id: release_id,
        title: row.title.clone(),
        subtitle: metadata.version_title(),
        release_type,
        upc: row.upc,
        display_artist: row.artist_names,
        label: metadata.label.clone().unwrap_or(row.owner_name),
        p_line: metadata.p_line.clone(),
        c_line: metadata.c_line.clone(),
        genre: row.genre,
        language: language_code(metadata.language_of_performance.as_deref(), &row.language),
        is_explicit: row.is_explicit,
        release_date: row.release_date.date(),
        original_release_date: metadata.original_release_date,
        artwork: row.artwork,
        credits,
        territories,
        tracks: Vec::new(),
    };

    let tracks = sqlx::query!(
        r#"select id, title, artist, duration, audio_file, isrc, track_number,
               coalesce(is_explicit, false) as "is_explicit!", genre,
               coalesce(language::text, 'english') as "language!", metadata, credits
           from public.tracks where release_id = $1
           order by track_number nulls last, id"#,
        release_id
    )
    .fetch_all(conn)
    .await?;
    for track in tracks {
        let metadata = Metadata::read(track.metadata.as_ref())
            .map_err(|problem| unreadable("tracks", track.id, problem))?;
        let credits = self::credits(track.credits.as_ref())
            .map_err(|problem| unreadable("tracks", track.id, problem))?;
        release.tracks.push(Track {
            id: track.id,
            title: track.title,
            subtitle: metadata.version_title(),
            display_artist: track.artist,
            disc: metadata.disc_number.unwrap_or(1),
            number: track.track_number,
            isrc: track.isrc,
            iswc: metadata.iswc,
            duration_s: track.duration,
            audio_file: track.audio_file,
            is_explicit: track.is_explicit,
            genre: track.genre.or_else(|| release.genre.clone()),
            language: language_code(metadata.language_of_performance.as_deref(), &track.language),
            p_line: metadata.p_line.or_else(|| release.p_line.clone()),
            credits,
        });
    }
    // Stable: within a disc the order of the query stands.
    release.tracks.sort_by_key(|track| track.disc);
    Ok(release)
}

/// Territories of all rights rows of the release and its tracks together, or why it may not be sent.
async fn rights(
    conn: &mut PgConnection,
    release_id: i32,
    withholding: &Withholding,
    now: DateTime<Utc>,
) -> Result<Result<Territories, String>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, track_id, coalesce(verification_status, 'pending') as "status!",
               expiration_date, territories
           from public.rights_management
           where release_id = $1
              or track_id in (select t.id from public.tracks t where t.release_id = $1)
           order by id"#,
        release_id
    )
    .fetch_all(conn)
    .await?;
    if rows.is_empty() && withholding.require_verified_rights {
        return Ok(Err("has no rights recorded".into()));
    }
    let mut territories = Territories::Worldwide;
    for row in rows {
        let of = row
            .track_id
            .map_or_else(String::new, |track| format!(" of track {track}"));
        let id = row.id;
        if row.status == "rejected" {
            return Ok(Err(format!(
                "has its rights{of} (rights_management {id}) rejected"
            )));
        }
        if withholding.require_verified_rights && row.status != "verified" {
            return Ok(Err(format!(
                "has rights{of} (rights_management {id}) that are not verified but {}",
                row.status
            )));
        }
        if row
            .expiration_date
            .is_some_and(|date: NaiveDateTime| date.and_utc() <= now)
        {
            return Ok(Err(format!(
                "has rights{of} (rights_management {id}) that have expired"
            )));
        }
        let listed: Vec<String> = row
            .territories
            .iter()
            .flatten()
            .map(|code| code.trim().to_ascii_uppercase())
            .collect();
        if !listed.is_empty() && !listed.iter().any(|code| is_worldwide(code)) {
            territories = match territories {
                Territories::Only(already) => Territories::Only(
                    already
                        .into_iter()
                        .filter(|code| listed.contains(code))
                        .collect(),
                ),
                _ => Territories::Only(listed),
            };
        }
    }
    Ok(Ok(territories))
}

fn is_worldwide(code: &str) -> bool {
    matches!(code, "WORLDWIDE" | "WORLD" | "WW" | "GLOBAL")
}

fn credits(value: Option<&Value>) -> Result<Credits, String> {
    match value {
        None | Some(Value::Null) => Ok(Credits::default()),
        Some(value) => serde::Deserialize::deserialize(value)
            .map_err(|error: serde_json::Error| format!("credits cannot be read: {error}")),
    }
}

fn release_type(label: &str) -> Option<ReleaseType> {
    [
        ReleaseType::Single,
        ReleaseType::Album,
        ReleaseType::Ep,
        ReleaseType::Compilation,
        ReleaseType::Remix,
        ReleaseType::Live,
    ]
    .into_iter()
    .find(|candidate| candidate.as_str() == label)
}

/// ISO 639 code of a label of the seed's `language`, unless the metadata names one itself.
fn language_code(named: Option<&str>, label: &str) -> String {
    if let Some(code) = named
        .map(str::trim)
        .filter(|code| (2..=3).contains(&code.len()))
    {
        return code.to_ascii_lowercase();
    }
    match label {
        "spanish" => "es",
        "french" => "fr",
        "german" => "de",
        "hindi" => "hi",
        "japanese" => "ja",
        "korean" => "ko",
        "portuguese" => "pt",
        "russian" => "ru",
        "mandarin" => "zh",
        "cantonese" => "yue",
        "arabic" => "ar",
        "instrumental" => "zxx",
        _ => "en",
    }
    .into()
}
