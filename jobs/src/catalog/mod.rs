//! The web application's rows → the release model. What the rows say is taken as it is; whether it
//! can be sent is the package's check. What cannot be read at all is a fault that names table, id
//! and path.

mod metadata;
mod platform;
mod platforms;
mod rights;

use chrono::NaiveDateTime;
use platform_adapters::{
    Code, Fault,
    release::{Credits, Release, ReleaseType, Track},
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use metadata::{OfRelease, OfTrack};
pub(crate) use platform::platform_rows;
pub use platform::{active_platform_rows, pin_host_key, platform_row, replace_credentials};
pub use platforms::{PlatformQueue, Standing, platform_names, platform_queue, platforms};
use rights::Rights;
pub use rights::{Terms, Withheld, Withholding};

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

/// A release's row with all that a delivery to one platform asks of it, as it was read.
pub(crate) struct Found {
    position: i64,
    title: String,
    release_type: String,
    release_date: NaiveDateTime,
    artwork: Option<String>,
    upc: Option<String>,
    genre: Option<String>,
    language: String,
    is_explicit: bool,
    artist_names: String,
    status: String,
    metadata: Option<Value>,
    credits: Option<Value>,
    owner_name: String,
    owner_status: String,
    approval: Option<String>,
    tracks: Json<Vec<TrackRow>>,
    rights: Json<Rights>,
    taken_down: Vec<String>,
}

/// Loads a release with its tracks, as it may be sold on a platform. With `terms`, checks that nothing
/// withholds it from being sold; a takedown has none: what may not be sold may be taken down.
///
/// # Errors
/// [`CatalogError::Fault`] with [`Code::ReleaseUnreadable`] or [`Code::ReleaseWithheld`].
pub async fn load(
    conn: &mut PgConnection,
    release_id: i32,
    platform_id: i32,
    terms: Option<Terms<'_>>,
) -> Result<Release, CatalogError> {
    let found = read(conn, &[(release_id, platform_id)])
        .await?
        .pop()
        .flatten();
    Ok(release(release_id, found, terms)?)
}

/// Reads releases for platforms, in the order in which they are asked for; `None` for one that is gone.
pub(crate) async fn read(
    conn: &mut PgConnection,
    asked: &[(i32, i32)],
) -> Result<Vec<Option<Found>>, sqlx::Error> {
    let (releases, platforms): (Vec<i32>, Vec<i32>) = asked.iter().copied().unzip();
    let rows = sqlx::query_as!(
        Found,
        r#"select asked.position as "position!", r.title, r.type::text as "release_type!", r.release_date, r.artwork, r.upc, r.genre,
               coalesce(r.language::text, 'english') as "language!",
               coalesce(r.is_explicit, false) as "is_explicit!", r.artist_names,
               coalesce(r.status, 'draft') as "status!", r.metadata, r.credits,
               u.full_name as owner_name, u.status::text as "owner_status!",
               worker.release_approval(r.id) as approval,
               (select coalesce(json_agg(json_build_object(
                    'id', t.id, 'title', t.title, 'artist', t.artist, 'duration', t.duration,
                    'audio_file', t.audio_file, 'isrc', t.isrc, 'track_number', t.track_number,
                    'is_explicit', coalesce(t.is_explicit, false), 'genre', t.genre,
                    'language', coalesce(t.language::text, 'english'),
                    -- Longer ones cannot be sent, and are not read whole.
                    'lyrics', left(nullif(t.lyrics, ''), 262145),
                    'metadata', t.metadata, 'credits', t.credits)
                    order by t.track_number nulls last, t.id), '[]')
                from public.tracks t where t.release_id = r.id) as "tracks!: Json<Vec<TrackRow>>",
               (select coalesce(json_agg(json_build_object(
                    'id', m.id, 'track_id', m.track_id,
                    'status', lower(trim(coalesce(m.verification_status, 'pending'))),
                    -- Of years that JSON's readers know.
                    'expires', case when m.expiration_date < '9999-12-31'
                                    then greatest(m.expiration_date, 'epoch') end,
                    'territories', coalesce(m.territories, '{}')) order by m.id), '[]')
                from (
                    select id, track_id, verification_status, expiration_date, territories
                    from public.rights_management where release_id = r.id
                    union
                    select o.id, o.track_id, o.verification_status, o.expiration_date, o.territories
                    from public.tracks t join public.rights_management o on o.track_id = t.id
                    where t.release_id = r.id
                ) m) as "rights!: Json<Rights>",
               array(select distinct territory from worker.territory_takedowns
                     where release_id = r.id and (platform_id is null or platform_id = asked.platform_id)
                     order by territory) as "taken_down!"
           from unnest($1::int[], $2::int[]) with ordinality
               as asked (release_id, platform_id, position)
           join public.releases r on r.id = asked.release_id
           join public.users u on u.id = r.user_id"#,
        &releases,
        &platforms,
    )
    .fetch_all(conn)
    .await?;
    let mut found: Vec<Option<Found>> = asked.iter().map(|_| None).collect();
    for row in rows {
        let place = usize::try_from(row.position - 1).unwrap_or(usize::MAX);
        if let Some(place) = found.get_mut(place) {
            *place = Some(row);
        }
    }
    Ok(found)
}

/// What was read as the release that it means, see [`load`].
pub(crate) fn release(
    release_id: i32,
    found: Option<Found>,
    terms: Option<Terms<'_>>,
) -> Result<Release, Fault> {
    let row = found.ok_or_else(|| {
        Fault::new(
            Code::ReleaseUnreadable,
            format!("release {release_id} is not there any more"),
        )
        .with_remedy("Nothing can be sent of a deleted release; cancel its schedules.")
    })?;
    let (Json(rights), Json(tracks)) = (row.rights, row.tracks);
    if let Some(terms) = terms {
        let standing = rights::Standing {
            release_id,
            title: &row.title,
            status: &row.status,
            owner_name: &row.owner_name,
            owner_status: &row.owner_status,
            approval: row.approval.as_deref(),
            tracks: &tracks,
        };
        rights::check(&standing, &rights, &terms)?;
    }

    let unreadable = |table: &str, id: i32, problem: String| {
        Fault::new(
            Code::ReleaseUnreadable,
            format!(
                "{table} {id} of release {release_id} ({:?}): {problem}",
                row.title
            ),
        )
    };
    let metadata = OfRelease::read(row.metadata.as_ref())
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
        sub_genre: metadata.sub_genre,
        language: language_code(metadata.language_of_performance.as_deref(), &row.language),
        is_explicit: row.is_explicit,
        release_date: row.release_date.date(),
        original_release_date: metadata.original_release_date,
        availability: metadata.availability,
        artwork: row.artwork,
        credits,
        territories: rights.territories().without(&row.taken_down),
        tracks: Vec::new(),
    };

    for row in tracks {
        let id = row.id;
        let track = track(row, &release).map_err(|problem| unreadable("tracks", id, problem))?;
        release.tracks.push(track);
    }
    // Stable: within a disc the order of the query stands.
    release.tracks.sort_by_key(|track| track.disc);
    Ok(release)
}

/// A row of `tracks`.
#[derive(Debug, Deserialize)]
struct TrackRow {
    id: i32,
    title: String,
    artist: String,
    duration: Option<i32>,
    audio_file: Option<String>,
    isrc: Option<String>,
    track_number: Option<i32>,
    is_explicit: bool,
    genre: Option<String>,
    language: String,
    lyrics: Option<String>,
    metadata: Option<Value>,
    credits: Option<Value>,
}

/// A track of the release, from which it has what it does not say itself. The error says what of the row
/// cannot be read.
fn track(row: TrackRow, release: &Release) -> Result<Track, String> {
    let metadata = OfTrack::read(row.metadata.as_ref())?;
    Ok(Track {
        id: row.id,
        title: row.title,
        subtitle: metadata.version_title(),
        display_artist: row.artist,
        disc: metadata.disc_number.unwrap_or(1),
        number: row.track_number,
        isrc: row.isrc,
        iswc: metadata.iswc,
        duration_s: row.duration,
        audio_file: row.audio_file,
        lyrics: row.lyrics,
        is_explicit: row.is_explicit,
        // A genre of its own is not divided as the release's is.
        sub_genre: metadata.sub_genre.or_else(|| {
            let inherits = row.genre.is_none() || row.genre == release.genre;
            release.sub_genre.clone().filter(|_| inherits)
        }),
        genre: row.genre.or_else(|| release.genre.clone()),
        language: language_code(metadata.language_of_performance.as_deref(), &row.language),
        p_line: metadata.p_line.or_else(|| release.p_line.clone()),
        availability: metadata.availability,
        credits: credits(row.credits.as_ref())?,
    })
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
