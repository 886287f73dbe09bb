//! Reports of usage: what is imported of them, what is not, and what hostile ones cannot do.

mod checks;
mod corpus;
mod hostile;
mod interrupted;
mod rematched;
mod reports;

use std::{io::Write as _, path::Path};

use jobs::{
    audit::By,
    royalty,
    usage::{self, Imported, Layout, Order, Settings, UsageError},
};
use tempfile::NamedTempFile;

use crate::statistics::site::{Site, now};

fn by() -> By {
    By::new("cli:ada", "the May report").unwrap()
}

/// The site of the statistics, with identifiers: tracks 1 to 6 have ISRC DEA012600001 to …6, the last
/// two with hyphens and in lower case; releases 1 to 3 have UPCs.
async fn site() -> Site {
    let site = Site::create().await;
    site.sql(
        "update tracks set isrc = 'DEA01260000' || id;
         update tracks set isrc = 'de-a01-26-0000' || id where id > 4;
         update releases set upc = '084260000001' || id;
         insert into worker.exchange_rates (base, quote, date, rate, source, imported_at) values
             ('EUR', 'USD', '2026-05-01', 1.25, 'ECB', now()),
             ('EUR', 'USD', '2026-05-08', 1.5, 'ECB', now())",
    )
    .await;
    site
}

fn file(content: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_ref()).unwrap();
    file
}

fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(content.as_ref()).unwrap();
    packed.finish().unwrap()
}

struct Import<'a> {
    layout: Layout,
    settings: Settings,
    royalties: royalty::Settings,
    platform: i32,
    path: &'a Path,
}

impl<'a> Import<'a> {
    fn of(path: &'a Path) -> Self {
        Self {
            layout: Layout::default(),
            settings: Settings::default(),
            royalties: royalty::Settings::default(),
            platform: 1,
            path,
        }
    }

    fn order(&self) -> Order<'_> {
        Order {
            path: self.path,
            platform: self.platform,
            layout_name: "plain",
            layout: &self.layout,
            settings: &self.settings,
            royalties: &self.royalties,
        }
    }

    async fn run(&self, site: &Site) -> Result<Imported, UsageError> {
        usage::import(site.pool(), &self.order(), &by(), now(), |_, _| {}).await
    }
}

/// The rows of `analytics` as text, in their order.
async fn rows(site: &Site) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', track_id, platform_id, date, streams, downloads, revenue,
             coalesce(territory, '-')) from analytics order by id",
    )
    .fetch_all(site.pool())
    .await
    .unwrap()
}

async fn reasons(site: &Site) -> Vec<(i64, String)> {
    let filter = usage::UnmatchedFilter {
        limit: 1000,
        ..Default::default()
    };
    usage::unmatched(site.pool(), &filter)
        .await
        .unwrap()
        .into_iter()
        .map(|one| (one.line, one.reason))
        .collect()
}
