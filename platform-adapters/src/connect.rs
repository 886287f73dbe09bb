//! From a platform's settings to the adapter that speaks its delivery method.

use std::sync::Arc;

use crate::{
    Adapter, Fault,
    api::ApiAdapter,
    ddex::{DdexAdapter, Schemas},
    package::AssetStore,
    secrets::Keyring,
    settings::{Method, Platform},
    sftp::SftpAdapter,
};

/// What adapters need beside a platform's settings.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// DDEX's schemas, where the operator has installed them: messages are validated before they
    /// are sent.
    pub ddex_schemas: Option<Schemas>,
    /// The worker's keys, with which sealed secrets are opened.
    pub keyring: Option<Keyring>,
}

/// Makes the adapter of a platform. Nothing is connected to until the adapter is used.
///
/// # Errors
/// [`crate::Code::SettingsInvalid`] when the settings do not suit the method.
pub fn connect(
    mut platform: Platform,
    assets: AssetStore,
    options: &ConnectOptions,
) -> Result<Arc<dyn Adapter>, Fault> {
    if let Some(keyring) = &options.keyring {
        platform.credentials.unlock_with(keyring);
    }
    Ok(match platform.method {
        Method::Api => Arc::new(ApiAdapter::new(&platform, assets)?),
        Method::Sftp => Arc::new(SftpAdapter::new(&platform, assets)?),
        Method::Ddex => Arc::new(DdexAdapter::new(
            platform,
            assets,
            options.ddex_schemas.clone(),
        )?),
    })
}
