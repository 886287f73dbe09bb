//! The sandbox's partners as this program starts them, for the demo and for an operator: where they
//! lie, what they know us by, and the rows of `distribution_platforms` that lead to them. The
//! partners themselves are `platform_adapters::sandbox`.

pub(crate) mod place;
pub(crate) mod platform;
pub(crate) mod private_file;

use std::{
    env,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use platform_adapters::sandbox::SftpPartner;
use serde_json::{Value, json};

const SENDER_DPID: &str = "PADPIDA2026112301T";
const RECIPIENT_DPID: &str = "PADPIDA2026112302L";

/// The token of HTTP partners: made once, kept in a file that the platforms' rows refer to.
pub(crate) fn token(file: &Path) -> anyhow::Result<String> {
    if let Ok(token) = fs::read_to_string(file) {
        return Ok(token);
    }
    let mut random = [0_u8; 24];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
    }
    private_file::write(file, &token)?;
    Ok(token)
}

/// `api_credentials` of an HTTP partner whose token lies in this file.
pub(crate) fn api_credentials(token_file: &Path) -> Value {
    json!({"bearer_token": {"file": token_file}})
}

/// `api_credentials` of an SFTP partner.
pub(crate) fn sftp_credentials(partner: &SftpPartner) -> Value {
    json!({
        "username": partner.username(),
        "private_key": {"file": partner.private_key_path()},
        "host_key": partner.host_key(),
    })
}

/// `format_specs.ddex` of a partner of this name.
pub(crate) fn ddex_specs(recipient_name: &str) -> Value {
    json!({
        "version": "4.3",
        "choreography": "release-by-release",
        "sender_dpid": SENDER_DPID,
        "sender_name": "TuneMantra",
        "recipient_dpid": RECIPIENT_DPID,
        "recipient_name": recipient_name,
        "models": ["subscription", "ad-supported"],
        "test_messages": true,
    })
}

/// DDEX's schemas, where the operator has them: `$DDEX_DIR`. Messages are then validated on both
/// sides.
pub(crate) fn ddex_schemas() -> Option<PathBuf> {
    let directory = PathBuf::from(env::var_os("DDEX_DIR")?);
    directory.canonicalize().ok()
}
