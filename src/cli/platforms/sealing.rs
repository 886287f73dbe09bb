//! `platforms key` and `platforms seal`: the worker's key, and secrets sealed with it.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write},
};

use anyhow::Context as _;
use jobs::{audit, catalog};
use platform_adapters::{Fault, secrets::Keyring, settings::Credentials};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    cli::{Failure, by::now, table},
    config::Secrets,
    partners::private_file,
};

/// Makes the worker's key, or a new one before those there are.
pub(super) fn make_key(
    out: &mut impl Write,
    secrets: &Secrets,
    is_rotation: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let path = secrets.key();
    let older: Option<SecretString> = match fs::read_to_string(path) {
        Ok(text) => Some(text.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    match (&older, is_rotation) {
        (Some(_), false) => {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} is there already; `platforms key --rotate` puts a new key before it",
                path.display()
            ))
            .into());
        }
        (None, true) => {
            return Err(Failure::missing(format!(
                "there is no key in {} to put a new one before",
                path.display()
            ))
            .into());
        }
        _ => {}
    }
    let older = older.as_ref().map_or("", |text| text.expose_secret());
    private_file::write(path, Keyring::generate(older).expose_secret())?;
    let public = secrets.keyring().public_key()?;
    if as_json {
        return table::json(out, &json!({"file": path, "public_key": public}));
    }
    writeln!(out, "{}: {public}", path.display())?;
    if is_rotation {
        writeln!(
            out,
            "What is sealed already still opens; `platforms seal ID` for each platform, then the \
             older keys can be deleted from the file."
        )?;
    } else {
        writeln!(
            out,
            "Let the worker's user read it, and keep a copy: without it what is sealed is lost."
        )?;
    }
    Ok(())
}

/// Seals one secret from standard input.
pub(super) fn seal_one(out: &mut impl Write, keyring: &Keyring) -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("standard input")?;
    let secret: SecretString = text.trim_end_matches(['\r', '\n']).to_owned().into();
    drop(text);
    if secret.expose_secret().is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "the secret comes on standard input, and there is nothing: \
             `tunemantra-worker platforms seal < FILE`"
        ))
        .into());
    }
    let sealed = keyring.seal(&secret).map_err(|fault| unusable(&fault))?;
    writeln!(out, "{}", json!({"sealed": sealed}))?;
    Ok(())
}

/// A key that cannot be used is a matter of configuration.
fn unusable(fault: &Fault) -> Failure {
    Failure::configuration(anyhow::anyhow!("{fault}. {}", fault.remedy()))
}

/// Seals what stands in a platform's row.
pub(super) async fn seal_platform(
    out: &mut impl Write,
    pool: &PgPool,
    keyring: &Keyring,
    id: i32,
    by: &audit::By,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    let row = catalog::platform_row(&mut transaction, id).await?;
    let row = row.ok_or_else(|| super::missing(id))?;
    let seen = row.api_credentials.map(|held| held.0).unwrap_or_default();
    let (sealed, paths) = if seen.is_null() {
        (seen.clone(), Vec::new())
    } else {
        Credentials::seal(&seen, keyring).map_err(|fault| unusable(&fault))?
    };
    if !paths.is_empty() {
        let both = (&seen, &sealed);
        let is_done =
            catalog::replace_credentials(&mut transaction, id, both, &paths, by, now()).await?;
        if !is_done {
            return Err(Failure::unavailable(anyhow::anyhow!(
                "api_credentials of platform {id} were changed meanwhile; do it again"
            ))
            .into());
        }
    }
    transaction.commit().await?;
    if as_json {
        return table::json(out, &json!({"platform_id": id, "sealed": paths}));
    }
    if paths.is_empty() {
        writeln!(
            out,
            "platform {id}: no secret stands there in plain or under an older key"
        )?;
    } else {
        writeln!(out, "platform {id}: sealed {}", paths.join(", "))?;
    }
    Ok(())
}
