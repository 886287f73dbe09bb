//! What was found out about audio and artwork by reading it, kept in `worker.assets`: a file that
//! has not changed is not read again, by whichever daemon. Deliveries that run at the same time ask
//! together.

use std::collections::BTreeMap;

use async_trait::async_trait;
use platform_adapters::{
    Code, Fault,
    package::{Flaw, Inspection, KeptInspections},
};
use sqlx::{PgPool, types::Json};

use crate::gather::{self, Gathering};

/// Keeps inspections in the database.
#[derive(Clone)]
pub struct InDatabase {
    recalled: Gathering<Version, Result<Option<Inspection>, Fault>>,
    kept: Gathering<(Version, Inspection), Result<(), Fault>>,
}

impl std::fmt::Debug for InDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InDatabase")
    }
}

/// A version of a file, as it is looked at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    store: String,
    path: String,
    version: String,
    kind: String,
}

impl Version {
    fn new(store: &str, path: &str, version: &str, kind: &str) -> Self {
        Self {
            store: store.to_owned(),
            path: path.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }
}

impl InDatabase {
    /// In the database of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let asked = pool.clone();
        Self {
            recalled: Gathering::new(move |versions| {
                let pool = asked.clone();
                Box::pin(async move {
                    let answered = recall(&pool, &versions).await;
                    gather::each(answered.map_err(|error| fault(&error)), versions.len())
                })
            }),
            kept: Gathering::new(move |found| {
                let pool = pool.clone();
                Box::pin(async move {
                    let count = found.len();
                    let kept = keep(&pool, found).await.map(|()| vec![(); count]);
                    gather::each(kept.map_err(|error| fault(&error)), count)
                })
            }),
        }
    }
}

#[async_trait]
impl KeptInspections for InDatabase {
    async fn recall(
        &self,
        store: &str,
        path: &str,
        version: &str,
        kind: &str,
    ) -> Result<Option<Inspection>, Fault> {
        let version = Version::new(store, path, version, kind);
        self.recalled.ask(version).await.unwrap_or(Ok(None))
    }

    async fn keep(
        &self,
        store: &str,
        path: &str,
        version: &str,
        kind: &str,
        found: &Inspection,
    ) -> Result<(), Fault> {
        let version = Version::new(store, path, version, kind);
        self.kept
            .ask((version, found.clone()))
            .await
            .unwrap_or(Ok(()))
    }
}

/// What is known of each version.
async fn recall(
    pool: &PgPool,
    versions: &[Version],
) -> Result<Vec<Option<Inspection>>, sqlx::Error> {
    let column = |of: fn(&Version) -> &str| versions.iter().map(of).collect::<Vec<_>>();
    let rows = sqlx::query!(
        r#"select kept.sha256 as "sha256?", kept.md5 as "md5?",
               kept.flaws as "flaws?: Json<Vec<Flaw>>"
           from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality
               as asked (store, path, version, kind, position)
           left join lateral (
               select sha256, md5, flaws from worker.assets a
               where a.store = asked.store and a.path = asked.path
                 and a.version = asked.version and a.kind = asked.kind
           ) kept on true
           order by asked.position"#,
        &column(|version| &version.store) as _,
        &column(|version| &version.path) as _,
        &column(|version| &version.version) as _,
        &column(|version| &version.kind) as _,
    )
    .fetch_all(pool)
    .await?;
    let found = rows.into_iter().map(|row| {
        Some(Inspection {
            sha256: row.sha256?,
            md5: row.md5?,
            flaws: row.flaws?.0,
        })
    });
    Ok(found.collect())
}

/// Keeps what was found out, in place of what is known of other versions.
async fn keep(pool: &PgPool, found: Vec<(Version, Inspection)>) -> Result<(), sqlx::Error> {
    // One of each file, the last, and in one order for all who write: or they would deadlock.
    let found: BTreeMap<(String, String), (Version, Inspection)> = found
        .into_iter()
        .map(|(version, found)| {
            let file = (version.store.clone(), version.path.clone());
            (file, (version, found))
        })
        .collect();
    let column = |of: fn(&Version) -> &str| -> Vec<&str> {
        found.values().map(|(version, _)| of(version)).collect()
    };
    let sum = |of: fn(&Inspection) -> &str| -> Vec<&str> {
        found.values().map(|(_, found)| of(found)).collect()
    };
    let flaws: Vec<_> = found
        .values()
        .map(|(_, found)| Json(&found.flaws))
        .collect();
    sqlx::query!(
        r#"insert into worker.assets (store, path, version, kind, sha256, md5, flaws)
           select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                                $6::text[], $7::jsonb[])
           on conflict (store, path) do update
               set version = excluded.version, kind = excluded.kind, sha256 = excluded.sha256,
                   md5 = excluded.md5, flaws = excluded.flaws, found_at = excluded.found_at"#,
        &column(|version| &version.store) as _,
        &column(|version| &version.path) as _,
        &column(|version| &version.version) as _,
        &column(|version| &version.kind) as _,
        &sum(|found| &found.sha256) as _,
        &sum(|found| &found.md5) as _,
        &flaws as _,
    )
    .execute(pool)
    .await?;
    Ok(())
}

fn fault(error: &sqlx::Error) -> Fault {
    Fault::new(Code::WorkerFault, format!("worker.assets: {error}"))
}
