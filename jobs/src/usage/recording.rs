//! Which track a line is of: by ISRC, or by the UPC of a release with one track. A batch's
//! identifiers are looked up together, and remembered.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::layout::Line;

/// Identifiers that are remembered at most; then all are forgotten.
const REMEMBERED: usize = 500_000;

/// A track that usage is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) id: i32,
    /// `tracks.user_id`.
    pub(super) owner: i32,
}

/// Why no track was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoTrack {
    /// There is none.
    Unknown(String),
    /// There are several.
    Ambiguous(String),
}

/// What was looked up.
#[derive(Default)]
pub(super) struct Recordings {
    /// The tracks with an ISRC, and the UPC of their release.
    by_isrc: HashMap<String, Vec<(Track, String)>>,
    /// The tracks of the releases with a UPC.
    by_upc: HashMap<String, Vec<Track>>,
}

impl Recordings {
    /// Looks up what the lines name and is not known yet.
    pub(super) async fn learn(
        &mut self,
        conn: &mut PgConnection,
        lines: &[Line],
    ) -> Result<(), sqlx::Error> {
        if self.by_isrc.len() + self.by_upc.len() > REMEMBERED {
            *self = Self::default();
        }
        let isrcs: HashSet<&str> = lines
            .iter()
            .map(|line| line.isrc.as_str())
            .filter(|isrc| !isrc.is_empty() && !self.by_isrc.contains_key(*isrc))
            .collect();
        let upcs: HashSet<&str> = lines
            .iter()
            .filter(|line| line.isrc.is_empty())
            .map(|line| line.upc.as_str())
            .filter(|upc| !self.by_upc.contains_key(*upc))
            .collect();
        let (isrcs, upcs): (Vec<&str>, Vec<&str>) =
            (isrcs.into_iter().collect(), upcs.into_iter().collect());
        let found = by_isrc(conn, &isrcs).await?;
        for isrc in isrcs {
            self.by_isrc.entry(isrc.to_owned()).or_default();
        }
        for (isrc, track, upc) in found {
            self.by_isrc.entry(isrc).or_default().push((track, upc));
        }
        let found = by_upc(conn, &upcs).await?;
        for upc in upcs {
            self.by_upc.entry(upc.to_owned()).or_default();
        }
        for (upc, track) in found {
            self.by_upc.entry(upc).or_default().push(track);
        }
        Ok(())
    }

    /// The track of a line that was among those learnt.
    pub(super) fn track(&self, line: &Line) -> Result<Track, NoTrack> {
        if line.isrc.is_empty() {
            return match self.by_upc.get(&line.upc).map(Vec::as_slice) {
                Some([track]) => Ok(*track),
                Some([_, ..]) => Err(NoTrack::Ambiguous(format!(
                    "the release with UPC {} has several tracks, and the line names none",
                    line.upc
                ))),
                _ => Err(NoTrack::Unknown(format!(
                    "no release has UPC {}, or it has no track",
                    line.upc
                ))),
            };
        }
        match self.by_isrc.get(&line.isrc).map(Vec::as_slice) {
            Some([(track, _)]) => Ok(*track),
            Some(several @ [_, ..]) => {
                let mut of_release = several.iter().filter(|(_, upc)| *upc == line.upc);
                match (of_release.next(), of_release.next()) {
                    (Some((track, _)), None) => Ok(*track),
                    _ => Err(NoTrack::Ambiguous(format!(
                        "several tracks have ISRC {}, and the line's UPC does not tell which",
                        line.isrc
                    ))),
                }
            }
            _ => Err(NoTrack::Unknown(format!("no track has ISRC {}", line.isrc))),
        }
    }
}

async fn by_isrc(
    conn: &mut PgConnection,
    isrcs: &[&str],
) -> Result<Vec<(String, Track, String)>, sqlx::Error> {
    if isrcs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select upper(replace(t.isrc, '-', '')) as "isrc!", t.id, t.user_id,
               coalesce(ltrim(replace(r.upc, '-', ''), '0'), '') as "upc!"
           from public.tracks t
           left join public.releases r on r.id = t.release_id
           where upper(replace(t.isrc, '-', '')) = any($1)"#,
        isrcs as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let track = Track {
                id: row.id,
                owner: row.user_id,
            };
            (row.isrc, track, row.upc)
        })
        .collect())
}

async fn by_upc(
    conn: &mut PgConnection,
    upcs: &[&str],
) -> Result<Vec<(String, Track)>, sqlx::Error> {
    if upcs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select ltrim(replace(r.upc, '-', ''), '0') as "upc!", t.id, t.user_id
           from public.releases r
           join public.tracks t on t.release_id = r.id
           where ltrim(replace(r.upc, '-', ''), '0') = any($1)"#,
        upcs as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let track = Track {
                id: row.id,
                owner: row.user_id,
            };
            (row.upc, track)
        })
        .collect())
}
