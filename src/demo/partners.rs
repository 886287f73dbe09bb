//! The demo's four partners, all of the sandbox, and the platforms that lead to them.

use std::{collections::HashMap, path::PathBuf};

use anyhow::Context;
use platform_adapters::sandbox::{
    HttpPartner, HttpPartnerOptions, Ledger, Misbehaviour, Misbehaviours, SftpKind, SftpPartner,
    SftpPartnerOptions,
};
use serde_json::{Value, json};

use super::{catalogue::Catalogue, state::State};
use crate::partners::{
    self, api_credentials,
    platform::{self, PlatformRow},
    sftp_credentials,
};

/// Answers of 503 before the flaky partner recovers: each first request, and a few of the second.
const FAILURES_EXTRA: usize = 5;
/// How often the HTTP partner says "not yet" before it decides.
const UNDECIDED_ASKS: u32 = 1;

/// A partner and the platform that leads to it.
struct Cast {
    /// The platform's name.
    name: &'static str,
    /// The name of its folders.
    slug: &'static str,
    method: &'static str,
    territory_restrictions: &'static [&'static str],
    processing_time: &'static str,
}

const API: Cast = Cast {
    name: "Fjordwave",
    slug: "fjordwave",
    method: "api",
    territory_restrictions: &[],
    processing_time: "24 hours",
};
const SFTP: Cast = Cast {
    name: "Tidepool",
    slug: "tidepool",
    method: "sftp",
    territory_restrictions: &["KP", "CU"],
    processing_time: "2-5 days",
};
const DDEX: Cast = Cast {
    name: "Lumière Stream",
    slug: "lumiere-stream",
    method: "ddex",
    territory_restrictions: &[],
    processing_time: "48 hours",
};
/// Is down at first, and recovers.
const FLAKY: Cast = Cast {
    name: "Sandstorm",
    slug: "sandstorm",
    method: "api",
    territory_restrictions: &["KP"],
    processing_time: "1 day",
};

/// The running partners.
#[derive(Debug)]
pub(crate) struct Partners {
    api: HttpPartner,
    sftp: SftpPartner,
    ddex: SftpPartner,
    flaky: HttpPartner,
    token: PathBuf,
}

impl Partners {
    /// Starts them where an earlier demo left them.
    pub(crate) async fn start(state: &State, catalogue: &Catalogue) -> anyhow::Result<Self> {
        let token_file = state.credentials().join("partner-token");
        let token = partners::token(&token_file)?;
        let failures = u32::try_from(catalogue.releases.len() + FAILURES_EXTRA)?;
        let down = Misbehaviour::Unavailable { retry_after: None };
        Ok(Self {
            api: http(state, &API, &token, Misbehaviours::none()).await?,
            flaky: http(
                state,
                &FLAKY,
                &token,
                Misbehaviours::none().then(failures, down),
            )
            .await?,
            sftp: sftp(state, &SFTP, SftpKind::Sftp).await?,
            ddex: sftp(state, &DDEX, SftpKind::Ddex).await?,
            token: token_file,
        })
    }

    /// The rows that lead the worker to the partners.
    pub(crate) fn platforms(&self) -> Vec<PlatformRow> {
        let token = api_credentials(&self.token);
        let ddex = partners::ddex_specs(DDEX.name);
        vec![
            API.row(
                self.api.url(),
                token.clone(),
                json!({"confirmation": "status"}),
            ),
            SFTP.row(
                &self.sftp.endpoint(),
                sftp_credentials(&self.sftp),
                json!({"confirmation": "folder"}),
            ),
            DDEX.row(
                &self.ddex.endpoint(),
                sftp_credentials(&self.ddex),
                json!({"confirmation": "folder", "ddex": ddex}),
            ),
            FLAKY.row(self.flaky.url(), token, json!({"confirmation": "none"})),
        ]
    }

    /// What each partner received, by the platform's name.
    pub(crate) fn ledgers(&self) -> HashMap<String, Ledger> {
        self.by_slug()
            .into_iter()
            .map(|(cast, ledger)| (cast.name.to_owned(), ledger.clone()))
            .collect()
    }

    /// What each partner received, by the name of its folder.
    pub(crate) fn folders(&self) -> Vec<(&'static str, Ledger)> {
        self.by_slug()
            .into_iter()
            .map(|(cast, ledger)| (cast.slug, ledger.clone()))
            .collect()
    }

    fn by_slug(&self) -> [(&'static Cast, &Ledger); 4] {
        [
            (&API, self.api.ledger()),
            (&SFTP, self.sftp.ledger()),
            (&DDEX, self.ddex.ledger()),
            (&FLAKY, self.flaky.ledger()),
        ]
    }

    /// One line for each, for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let places = [
            (&API, self.api.url().to_owned(), ""),
            (&SFTP, self.sftp.endpoint(), ""),
            (&DDEX, self.ddex.endpoint(), ""),
            (&FLAKY, self.flaky.url().to_owned(), ", down at first"),
        ];
        places
            .into_iter()
            .map(|(cast, place, remark)| {
                format!("  {} ({}{remark}) at {place}", cast.name, cast.method)
            })
            .collect()
    }

    pub(crate) async fn stop(self) {
        tokio::join!(self.api.stop(), self.flaky.stop());
        self.sftp.stop();
        self.ddex.stop();
    }
}

impl Cast {
    fn row(&self, endpoint: &str, credentials: Value, specs: Value) -> PlatformRow {
        PlatformRow {
            name: self.name,
            delivery_method: self.method,
            api_endpoint: endpoint.to_owned(),
            api_credentials: credentials,
            requirements: platform::requirements(),
            format_specs: platform::format_specs(specs),
            territory_restrictions: self.territory_restrictions,
            processing_time: self.processing_time,
        }
    }
}

async fn http(
    state: &State,
    cast: &Cast,
    token: &str,
    misbehaviours: Misbehaviours,
) -> anyhow::Result<HttpPartner> {
    HttpPartner::start(HttpPartnerOptions {
        name: cast.name.into(),
        root: state.partners()?.join(cast.slug),
        port: None,
        token: token.to_owned().into(),
        undecided_asks: UNDECIDED_ASKS,
        misbehaviours,
    })
    .await
    .with_context(|| format!("the partner {} cannot be started", cast.name))
}

async fn sftp(state: &State, cast: &Cast, kind: SftpKind) -> anyhow::Result<SftpPartner> {
    SftpPartner::start(SftpPartnerOptions {
        name: cast.name.into(),
        root: state.partners()?.join(cast.slug),
        port: None,
        kind,
        ddex_dir: partners::ddex_schemas(),
        misbehaviours: Misbehaviours::none(),
    })
    .await
    .with_context(|| format!("the partner {} cannot be started", cast.name))
}
