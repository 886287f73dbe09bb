//! What was found out about audio and artwork by reading it, kept in `worker.assets`: a file that
//! has not changed is not read again, by whichever daemon.

use async_trait::async_trait;
use platform_adapters::{
    Code, Fault,
    package::{Flaw, Inspection, KeptInspections},
};
use sqlx::{PgPool, types::Json};

/// Keeps inspections in the database.
#[derive(Clone, Debug)]
pub struct InDatabase {
    pool: PgPool,
}

impl InDatabase {
    /// In the database of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
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
        let row = sqlx::query!(
            r#"select sha256, md5, flaws as "flaws: Json<Vec<Flaw>>" from worker.assets
               where store = $1 and path = $2 and version = $3 and kind = $4"#,
            store,
            path,
            version,
            kind,
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| fault(&error))?;
        Ok(row.map(|row| Inspection {
            sha256: row.sha256,
            md5: row.md5,
            flaws: row.flaws.0,
        }))
    }

    async fn keep(
        &self,
        store: &str,
        path: &str,
        version: &str,
        kind: &str,
        found: &Inspection,
    ) -> Result<(), Fault> {
        sqlx::query!(
            r#"insert into worker.assets (store, path, version, kind, sha256, md5, flaws)
               values ($1, $2, $3, $4, $5, $6, $7)
               on conflict (store, path) do update
                   set version = excluded.version, kind = excluded.kind, sha256 = excluded.sha256,
                       md5 = excluded.md5, flaws = excluded.flaws, found_at = excluded.found_at"#,
            store,
            path,
            version,
            kind,
            found.sha256,
            found.md5,
            Json(&found.flaws) as _,
        )
        .execute(&self.pool)
        .await
        .map_err(|error| fault(&error))?;
        Ok(())
    }
}

fn fault(error: &sqlx::Error) -> Fault {
    Fault::new(Code::WorkerFault, format!("worker.assets: {error}"))
}
