//! A look at a platform's settings and connection, for the command line and the API.

use platform_adapters::{
    ConnectOptions, Fault, connect,
    package::AssetStore,
    settings::{Platform, PlatformRow},
};

use crate::config::{Assets, Config, Secrets};

/// What a look needs of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    assets: Assets,
    secrets: Secrets,
}

impl Means {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            assets: config.assets.clone(),
            secrets: config.secrets.clone(),
        }
    }
}

impl Means {
    /// A platform by its row, whose secrets can be read.
    pub(crate) fn platform(&self, row: &PlatformRow) -> Result<Platform, Fault> {
        let mut platform = Platform::from_row(row)?;
        platform.credentials.unlock_with(&self.secrets.keyring());
        Ok(platform)
    }
}

/// Validates the settings and connects: name, host key or certificate, credentials, write access.
/// Delivers nothing. The answer is what is in order, in sentences.
pub(crate) async fn check(row: &PlatformRow, means: &Means) -> Result<Vec<String>, Fault> {
    let platform = Platform::from_row(row)?;
    let assets = AssetStore::open(&means.assets.root)?;
    let options = ConnectOptions {
        keyring: Some(means.secrets.keyring()),
        // DDEX's schemas matter to messages, not to the connection.
        ..ConnectOptions::default()
    };
    connect(platform, assets, &options)?.check().await
}
