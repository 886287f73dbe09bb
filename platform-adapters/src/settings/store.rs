//! How a partner's object store is reached (`format_specs.store`).

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// How a partner's object store is reached (`format_specs.store`), where `api_endpoint` is
/// `s3://bucket/prefix`. Keys it does not know are left alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoreSpecs {
    /// The store's own address, where it is not Amazon's: `https://objects.partner.example`.
    pub endpoint: Option<Url>,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket stands in the host's name, and not in the path.
    pub virtual_hosted: bool,
}

impl Default for StoreSpecs {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".into(),
            virtual_hosted: false,
        }
    }
}
