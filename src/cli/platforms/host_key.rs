//! `platforms host-key`: which host keys a platform's server shows, and which one is pinned.

use std::{io::Write, process::ExitCode};

use jobs::catalog;
use platform_adapters::{
    settings::{Method, Platform, PlatformRow},
    sftp::{HostKey, host_keys},
};
use serde_json::json;
use sqlx::PgPool;

use crate::cli::{
    EX_NO, Failure,
    by::{Reason, now},
    table::{self, table},
};

/// What `platforms host-key` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The platform's id.
    id: i32,
    /// Pin this fingerprint (SHA256:…), after the partner has confirmed it. The server must show it
    /// now.
    #[arg(long, value_name = "FINGERPRINT", requires = "reason")]
    pin: Option<String>,
    /// Why the key is pinned: it is kept in the audit, with your name.
    #[arg(long, value_name = "TEXT", requires = "pin")]
    reason: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn id(&self) -> i32 {
        self.id
    }
}

/// What is pinned and what is shown.
struct Keys {
    pinned: Option<String>,
    shown: Vec<HostKey>,
}

impl Keys {
    fn is_shown(&self, fingerprint: &str) -> bool {
        self.shown.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// The pinned key is among those shown.
    fn is_in_order(&self) -> bool {
        self.pinned.as_ref().is_some_and(|key| self.is_shown(key))
    }
}

pub(super) async fn run(
    arguments: Arguments,
    row: &PlatformRow,
    pool: &PgPool,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let id = arguments.id;
    let platform = Platform::from_row(row).map_err(said)?;
    if platform.method == Method::Api {
        return Err(Failure::usage(anyhow::anyhow!(
            "platform {id} ({:?}) is delivered to by HTTP: it has a certificate and no host key",
            row.name
        ))
        .into());
    }
    let mut keys = Keys {
        pinned: platform.credentials.host_key.clone(),
        shown: host_keys(&platform).await.map_err(said)?,
    };
    let mut before = None;
    if let Some(wanted) = &arguments.pin {
        let wanted = wanted.trim().trim_end_matches('=');
        if !keys.is_shown(wanted) {
            print(&keys, id, arguments.json, out)?;
            return Err(Failure::usage(anyhow::anyhow!(
                "the server does not show {wanted}, so it is not pinned; what it shows stands above"
            ))
            .into());
        }
        let by = Reason::from(arguments.reason.unwrap_or_default()).by()?;
        let mut transaction = pool.begin().await?;
        catalog::pin_host_key(&mut transaction, id, wanted, &by, now()).await?;
        transaction.commit().await?;
        before = Some(keys.pinned.replace(wanted.to_owned()));
    }
    if arguments.json {
        return print(&keys, id, true, out);
    }
    match before {
        Some(Some(old)) if keys.pinned.as_deref() != Some(old.as_str()) => {
            writeln!(out, "pinned until now: {old}")?;
        }
        Some(None) => writeln!(out, "until now none was pinned")?,
        _ => {}
    }
    print(&keys, id, false, out)
}

fn said(fault: platform_adapters::Fault) -> Failure {
    let remedy = fault.remedy().to_owned();
    Failure::unavailable(anyhow::anyhow!("{fault}\n{remedy}"))
}

/// Shows the keys; the exit code says whether the pinned one is among them.
fn print(keys: &Keys, id: i32, as_json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let is_pinned = |key: &HostKey| keys.pinned.as_ref() == Some(&key.fingerprint);
    if as_json {
        let shown: Vec<_> = keys
            .shown
            .iter()
            .map(|key| json!({"kind": key.kind, "fingerprint": key.fingerprint}))
            .collect();
        let ok = keys.is_in_order();
        table::json(
            out,
            &json!({"pinned": keys.pinned, "shown": shown, "ok": ok}),
        )?;
    } else {
        let rows = keys.shown.iter().map(|key| {
            let pinned = if is_pinned(key) { "yes" } else { "" };
            [key.kind, &key.fingerprint, pinned].map(str::to_owned)
        });
        writeln!(
            out,
            "{}",
            table(["kind", "shown by the server", "pinned"], rows)
        )?;
        match &keys.pinned {
            Some(_) if keys.is_in_order() => {}
            Some(pinned) => writeln!(
                out,
                "pinned, and not shown: {pinned}\nThe server's key has changed, or another server \
                 answers. Ask the partner, by another way than this connection, which is its key; \
                 then: platforms host-key {id} --pin FINGERPRINT --reason TEXT"
            )?,
            None => writeln!(
                out,
                "None is pinned, and nothing is sent. Ask the partner, by another way than this \
                 connection, which is its key; then: platforms host-key {id} --pin FINGERPRINT \
                 --reason TEXT"
            )?,
        }
    }
    Ok(if keys.is_in_order() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EX_NO)
    })
}
