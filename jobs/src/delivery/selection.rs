//! Which deliveries: the one set of conditions that lists, counts and operations share. What they
//! mean in SQL is the function `worker.matching_deliveries`.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::State;

/// Which deliveries: all that fit every condition given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DeliverySelection)]
pub struct Selection {
    /// Where they stand; empty: anywhere.
    pub states: Vec<State>,
    /// `worker.deliveries.platform_id`.
    pub platform_id: Option<i32>,
    /// `worker.deliveries.release_id`.
    pub release_id: Option<i32>,
    /// Part of the release's title, or of an artist's name, as the catalogue has them now.
    pub title: Option<String>,
    /// The release's UPC or EAN, with hyphens or without.
    pub upc: Option<String>,
    /// The ISRC of one of the release's tracks, with hyphens or without.
    pub isrc: Option<String>,
    /// `releases.user_id`.
    pub owner_id: Option<i32>,
    /// The last fault's code.
    pub fault_code: Option<String>,
    /// Made at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Made before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl Selection {
    /// No condition at all is given: it would mean everything there is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what somebody typed into a search field: a UPC, an ISRC, or words of a title or name.
    #[must_use]
    pub fn searched(mut self, typed: &str) -> Self {
        let typed = typed.trim();
        let plain = plain(typed);
        let is_upc = (8..=14).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_digit());
        if typed.is_empty() {
            return self;
        }
        let place = match (is_upc, is_isrc(&plain)) {
            (true, _) => &mut self.upc,
            (false, true) => &mut self.isrc,
            (false, false) => &mut self.title,
        };
        *place = Some(typed.to_owned());
        self
    }

    /// The conditions as `worker.matching_deliveries` takes them, with these states.
    pub(super) async fn conditions(
        &self,
        pool: &PgPool,
        states: &[State],
    ) -> Result<Conditions<'_>, sqlx::Error> {
        let words: Vec<&'static str> = states.iter().map(|state| state.as_str()).collect();
        let (one_state, any_state) = match words.as_slice() {
            [] => (None, None),
            [one] => (Some(*one), None),
            _ => (None, Some(words)),
        };
        Ok(Conditions {
            one_state,
            any_state,
            releases: self.releases(pool).await?,
            upcs: self.upc.as_deref().map(upc_spellings),
            fault_code: self.fault_code.as_deref().map(storable),
            selection: self,
        })
    }

    /// The releases that the catalogue knows by title, ISRC and owner; `None`: any. They are looked up
    /// first, because how many there are decides how their deliveries are best found.
    async fn releases(&self, pool: &PgPool) -> Result<Option<Vec<i32>>, sqlx::Error> {
        if self.title.is_none() && self.isrc.is_none() && self.owner_id.is_none() {
            return Ok(None);
        }
        let isrcs = self.isrc.as_deref().map(isrc_spellings);
        let found = sqlx::query_scalar!(
            r#"select r.id from public.releases r
               where ($1::text is null or strpos(lower(r.title), lower($1)) > 0
                      or strpos(lower(r.artist_names), lower($1)) > 0)
                 and ($2::text[] is null or r.id in (
                     select t.release_id from public.tracks t where t.isrc = any($2)))
                 and ($3::integer is null or r.user_id = $3)"#,
            self.title.as_deref().map(storable),
            isrcs.as_deref(),
            self.owner_id,
        );
        found.fetch_all(pool).await.map(Some)
    }
}

/// See [`Selection::conditions`].
pub(super) struct Conditions<'a> {
    pub(super) one_state: Option<&'static str>,
    pub(super) any_state: Option<Vec<&'static str>>,
    pub(super) releases: Option<Vec<i32>>,
    pub(super) upcs: Option<Vec<String>>,
    pub(super) fault_code: Option<String>,
    pub(super) selection: &'a Selection,
}

fn storable(text: &str) -> String {
    crate::database::storable(text).into_owned()
}

/// Without what people put between the groups of an identifier, in upper case.
fn plain(identifier: &str) -> String {
    identifier
        .chars()
        .filter(|one| !matches!(one, '-' | ' ' | '.'))
        .collect::<String>()
        .to_uppercase()
}

fn is_isrc(plain: &str) -> bool {
    plain.len() == 12
        && plain.bytes().enumerate().all(|(at, byte)| match at {
            0 | 1 => byte.is_ascii_uppercase(),
            2..5 => byte.is_ascii_alphanumeric(),
            _ => byte.is_ascii_digit(),
        })
}

/// As the web application may have stored it: as typed, without hyphens, and as the other of UPC and
/// EAN, which differ by a leading zero.
fn upc_spellings(typed: &str) -> Vec<String> {
    let plain = plain(&storable(typed));
    let mut spellings = vec![storable(typed.trim()), format!("0{plain}")];
    if let Some(shorter) = plain.strip_prefix('0') {
        spellings.push(shorter.to_owned());
    }
    spellings.push(plain);
    spellings.dedup();
    spellings
}

/// As typed, without hyphens, and with the standard's hyphens.
fn isrc_spellings(typed: &str) -> Vec<String> {
    let plain = plain(&storable(typed));
    let mut spellings = vec![storable(typed.trim())];
    if is_isrc(&plain)
        && let (Some(country), Some(registrant), Some(year), Some(rest)) = (
            plain.get(..2),
            plain.get(2..5),
            plain.get(5..7),
            plain.get(7..),
        )
    {
        spellings.push(format!("{country}-{registrant}-{year}-{rest}"));
    }
    spellings.push(plain);
    spellings.dedup();
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_knows_identifiers_from_words() {
        let search = |typed: &str| Selection::default().searched(typed);
        assert_eq!(
            search("8420-00000012").upc.as_deref(),
            Some("8420-00000012")
        );
        assert_eq!(
            search("de-a01-26-00001").isrc.as_deref(),
            Some("de-a01-26-00001")
        );
        assert_eq!(
            search("Midnight Ferry").title.as_deref(),
            Some("Midnight Ferry")
        );
        assert_eq!(search("1999").title.as_deref(), Some("1999"));
        assert!(search("  ").is_everything());
    }

    #[test]
    fn identifiers_are_found_however_they_are_spelled() {
        assert!(isrc_spellings("dea012600001").contains(&"DE-A01-26-00001".to_owned()));
        assert!(isrc_spellings("DE-A01-26-00001").contains(&"DEA012600001".to_owned()));
        assert!(upc_spellings("0842000000012").contains(&"842000000012".to_owned()));
        assert!(upc_spellings("842-000000012").contains(&"0842000000012".to_owned()));
        assert!(!upc_spellings("a\0b").iter().any(|one| one.contains('\0')));
    }
}
