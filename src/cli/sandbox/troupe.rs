//! The partners of `sandbox`, and the rows that lead to them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use platform_adapters::sandbox::{
    HttpPartner, HttpPartnerOptions, Ledger, Misbehaviours, SftpKind, SftpPartner,
    SftpPartnerOptions,
};
use serde_json::{Value, json};

use super::misbehave::{self, Way, Wish};
use crate::partners::{
    self, place,
    platform::{self, PlatformRow},
};

/// How often the HTTP partner says "not yet" before it decides.
const UNDECIDED_ASKS: u32 = 1;

/// Which partners, and what they do wrong.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) api: bool,
    pub(super) sftp: bool,
    pub(super) ddex: bool,
    pub(super) ddex_schemas: Option<PathBuf>,
    pub(super) wishes: Vec<Wish>,
    pub(super) for_each_delivery: bool,
}

/// The running partners.
#[derive(Debug)]
pub(super) struct Troupe {
    place: PathBuf,
    token_file: PathBuf,
    api: Option<HttpPartner>,
    sftp: Option<SftpPartner>,
    ddex: Option<SftpPartner>,
    moved: Vec<&'static str>,
}

const API: &str = "Sandbox API";
const SFTP: &str = "Sandbox SFTP";
const DDEX: &str = "Sandbox DDEX";

impl Troupe {
    /// Starts those that are wanted, at their old addresses where these are free.
    pub(super) async fn start(root: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let mut troupe = Self {
            place: place::prepare(root)?,
            token_file: root.join("credentials").join("api-token"),
            api: None,
            sftp: None,
            ddex: None,
            moved: Vec::new(),
        };
        if plan.api {
            troupe.api = Some(troupe.start_http(plan).await?);
        }
        if plan.sftp {
            troupe.sftp = Some(troupe.start_sftp(plan, SFTP, SftpKind::Sftp).await?);
        }
        if plan.ddex {
            troupe.ddex = Some(troupe.start_sftp(plan, DDEX, SftpKind::Ddex).await?);
        }
        Ok(troupe)
    }

    async fn start_http(&mut self, plan: &Plan) -> anyhow::Result<HttpPartner> {
        let home = Home::prepare(&self.place, API)?;
        let options = HttpPartnerOptions {
            name: API.into(),
            root: home.root.clone(),
            port: home.port,
            token: partners::token(&self.token_file)?.into(),
            undecided_asks: UNDECIDED_ASKS,
            misbehaviours: misbehave::plan(&plan.wishes, Way::Http, plan.for_each_delivery),
        };
        let partner = match HttpPartner::start(options.clone()).await {
            Err(_) if home.port.is_some() => {
                self.moved.push(API);
                let port = None;
                HttpPartner::start(HttpPartnerOptions { port, ..options }).await
            }
            started => started,
        };
        let partner = partner.with_context(|| format!("the partner {API} cannot be started"))?;
        home.remember_port(partner.url().rsplit(':').next())?;
        Ok(partner)
    }

    async fn start_sftp(
        &mut self,
        plan: &Plan,
        name: &'static str,
        kind: SftpKind,
    ) -> anyhow::Result<SftpPartner> {
        let home = Home::prepare(&self.place, name)?;
        let options = SftpPartnerOptions {
            name: name.into(),
            root: home.root.clone(),
            port: home.port,
            kind,
            ddex_dir: plan.ddex_schemas.clone(),
            misbehaviours: misbehave::plan(&plan.wishes, Way::Sftp, plan.for_each_delivery),
        };
        let partner = match SftpPartner::start(options.clone()).await {
            Err(_) if home.port.is_some() => {
                self.moved.push(name);
                let port = None;
                SftpPartner::start(SftpPartnerOptions { port, ..options }).await
            }
            started => started,
        };
        let partner = partner.with_context(|| format!("the partner {name} cannot be started"))?;
        home.remember_port(Some(&partner.port().to_string()))?;
        Ok(partner)
    }

    /// The rows that lead to them.
    pub(super) fn platforms(&self) -> Vec<PlatformRow> {
        let api = self.api.as_ref().map(|partner| {
            row(
                API,
                "api",
                partner.url().to_owned(),
                partners::api_credentials(&self.token_file),
                json!({"confirmation": "status", "api": {
                    "lookup": "/releases?idempotency_key={key}",
                    "takedown": "/releases?upc={upc}",
                }}),
            )
        });
        let sftp = self.sftp.as_ref().map(|partner| {
            row(
                SFTP,
                "sftp",
                partner.endpoint(),
                partners::sftp_credentials(partner),
                json!({"confirmation": "folder"}),
            )
        });
        let ddex = self.ddex.as_ref().map(|partner| {
            row(
                DDEX,
                "ddex",
                partner.endpoint(),
                partners::sftp_credentials(partner),
                json!({"confirmation": "folder", "ddex": partners::ddex_specs(DDEX)}),
            )
        });
        [api, sftp, ddex].into_iter().flatten().collect()
    }

    /// What each of them received.
    pub(super) fn ledgers(&self) -> Vec<(&'static str, Ledger)> {
        let api = self.api.as_ref().map(|partner| (API, partner.ledger()));
        let sftp = self.sftp.as_ref().map(|partner| (SFTP, partner.ledger()));
        let ddex = self.ddex.as_ref().map(|partner| (DDEX, partner.ledger()));
        let running = [api, sftp, ddex].into_iter().flatten();
        running
            .map(|(name, ledger)| (name, ledger.clone()))
            .collect()
    }

    /// Where all of them keep what they receive.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Those whose port of the last time was taken.
    pub(super) fn moved(&self) -> &[&'static str] {
        &self.moved
    }

    pub(super) async fn stop(self) {
        if let Some(api) = self.api {
            api.stop().await;
        }
        for partner in [self.sftp, self.ddex].into_iter().flatten() {
            partner.stop();
        }
    }
}

fn row(
    name: &'static str,
    delivery_method: &'static str,
    api_endpoint: String,
    api_credentials: Value,
    specs: Value,
) -> PlatformRow {
    PlatformRow {
        name,
        delivery_method,
        api_endpoint,
        api_credentials,
        requirements: platform::requirements(),
        format_specs: platform::format_specs(specs),
        territory_restrictions: &[],
        processing_time: "24 hours",
    }
}

/// A partner's own directory, and the port it had the last time.
struct Home {
    root: PathBuf,
    port: Option<u16>,
}

impl Home {
    fn prepare(place: &Path, name: &str) -> anyhow::Result<Self> {
        let root = place.join(name.to_lowercase().replace(' ', "-"));
        let prepare = || {
            fs::create_dir_all(&root)?;
            // What this command asks for is asked for anew each time.
            Misbehaviours::forget(&root)
        };
        prepare().with_context(|| format!("{} cannot be used", root.display()))?;
        let port = fs::read_to_string(root.join("port"));
        let port = port.ok().and_then(|text| text.trim().parse().ok());
        Ok(Self { root, port })
    }

    fn remember_port(&self, port: Option<&str>) -> anyhow::Result<()> {
        let file = self.root.join("port");
        fs::write(&file, port.unwrap_or_default())
            .with_context(|| format!("{} cannot be written", file.display()))
    }
}
