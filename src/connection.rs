//! A look at a platform's settings and connection, for the command line and the API.

use std::path::Path;

use platform_adapters::{
    ConnectOptions, Fault, connect,
    package::AssetStore,
    settings::{Platform, PlatformRow},
};

/// Validates the settings and connects: name, host key or certificate, credentials, write access.
/// Delivers nothing. The answer is what is in order, in sentences.
pub(crate) async fn check(row: &PlatformRow, assets_root: &Path) -> Result<Vec<String>, Fault> {
    let platform = Platform::from_row(row)?;
    let assets = AssetStore::local(assets_root)?;
    // Settings of DDEX's schemas matter to messages, not to the connection.
    connect(platform, assets, &ConnectOptions::default())?
        .check()
        .await
}
