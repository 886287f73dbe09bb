//! How a partner's SFTP server is used (`format_specs.sftp`): connections, patience, algorithms of
//! old servers, and the names that a hand-over has there.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::Template;

/// How a partner's SFTP server is used (`format_specs.sftp`), for `sftp` and `ddex` alike. Keys it
/// does not know are left alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SftpSpecs {
    /// Connections at once from one daemon. `None`: as many as `format_specs.limits.concurrency`
    /// allows deliveries, or 4.
    pub connections: Option<NonZeroU16>,
    /// Seconds that the partner may take to answer, or to take the next bytes.
    pub answer_timeout_s: NonZeroU16,
    /// A large file goes over all connections at once, a part over each. Not every server bears
    /// that: those that keep files in an object store take a file from its beginning to its end
    /// only.
    pub split_files: bool,
    /// What a server needs that knows nothing better. Nothing of it is used unless it is named here.
    pub old_algorithms: Vec<OldAlgorithm>,
    /// The names of a hand-over by the method `sftp`; DDEX has its own.
    pub layout: LayoutSpecs,
}

impl Default for SftpSpecs {
    fn default() -> Self {
        Self {
            connections: None,
            answer_timeout_s: NonZeroU16::MIN.saturating_add(59),
            split_files: false,
            old_algorithms: Vec::new(),
            layout: LayoutSpecs::default(),
        }
    }
}

/// What an algorithm of SSH is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlgorithmKind {
    /// Agreeing on a key.
    KeyExchange,
    /// Showing that the server is who it says.
    HostKey,
    /// Secrecy.
    Cipher,
    /// Integrity.
    Mac,
}

impl AlgorithmKind {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyExchange => "key exchange",
            Self::HostKey => "host key",
            Self::Cipher => "cipher",
            Self::Mac => "message authentication",
        }
    }
}

/// An algorithm that is not used unless a platform's settings name it: broken, weak, or left behind
/// by what came after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct OldAlgorithm {
    kind: AlgorithmKind,
    name: &'static str,
}

impl OldAlgorithm {
    /// All of them, as SSH names them, the best of each kind first.
    pub const ALL: &'static [Self] = &[
        Self::new(AlgorithmKind::KeyExchange, "diffie-hellman-group14-sha1"),
        Self::new(
            AlgorithmKind::KeyExchange,
            "diffie-hellman-group-exchange-sha1",
        ),
        Self::new(AlgorithmKind::KeyExchange, "diffie-hellman-group1-sha1"),
        Self::new(AlgorithmKind::HostKey, "ssh-rsa"),
        Self::new(AlgorithmKind::Cipher, "aes256-cbc"),
        Self::new(AlgorithmKind::Cipher, "aes192-cbc"),
        Self::new(AlgorithmKind::Cipher, "aes128-cbc"),
        Self::new(AlgorithmKind::Cipher, "3des-cbc"),
        Self::new(AlgorithmKind::Mac, "hmac-sha1-etm@openssh.com"),
        Self::new(AlgorithmKind::Mac, "hmac-sha1"),
        Self::new(AlgorithmKind::Mac, "hmac-sha1-96"),
    ];

    const fn new(kind: AlgorithmKind, name: &'static str) -> Self {
        Self { kind, name }
    }

    /// What it is for.
    #[must_use]
    pub fn kind(self) -> AlgorithmKind {
        self.kind
    }

    /// As SSH names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }
}

impl<'de> Deserialize<'de> for OldAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Self::ALL.iter().find(|old| old.name == name);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|old| old.name).collect();
            serde::de::Error::custom(format!(
                "{name:?} is none of the old algorithms that can be allowed: {}",
                names.join(", ")
            ))
        })
    }
}

/// The names of a hand-over by the method `sftp` (`format_specs.sftp.layout`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "LayoutWords")]
#[schemars(with = "LayoutWords")]
pub struct LayoutSpecs {
    /// The hand-over's folder, below the endpoint's directory.
    pub folder: Template,
    /// The folder of audio and artwork within it; `None`: they lie in the hand-over's folder itself.
    pub resources: Option<Template>,
    /// The document about the release, in the folder.
    pub metadata: Template,
    /// The list of files, in the folder.
    pub manifest: Template,
    /// The completion marker: in the folder, or, where it names `{folder}`, below the endpoint's
    /// directory.
    pub marker: Template,
    /// The partner's word on the hand-over, below the endpoint's directory.
    pub acknowledgement: Template,
}

impl Default for LayoutSpecs {
    fn default() -> Self {
        let words = LayoutWords::default();
        let template = |words: String| Template::literal(words);
        Self {
            folder: template(words.folder),
            resources: Some(template(words.resources)),
            metadata: template(words.metadata),
            manifest: template(words.manifest),
            marker: template(words.marker),
            acknowledgement: template(words.acknowledgement),
        }
    }
}

/// The names as they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "LayoutSpecs")]
struct LayoutWords {
    folder: String,
    resources: String,
    metadata: String,
    manifest: String,
    marker: String,
    acknowledgement: String,
}

impl Default for LayoutWords {
    fn default() -> Self {
        Self {
            folder: "{timestamp}_{key}".into(),
            resources: "resources".into(),
            metadata: "metadata.json".into(),
            manifest: "manifest.json".into(),
            marker: "delivery.complete".into(),
            acknowledgement: "acknowledgements/ACK_{key}.json".into(),
        }
    }
}

impl TryFrom<LayoutWords> for LayoutSpecs {
    type Error = String;

    fn try_from(words: LayoutWords) -> Result<Self, String> {
        /// What the names of a hand-over are made of.
        const OF_HANDOVER: &[&str] = &[
            "key",
            "delivery",
            "timestamp",
            "date",
            "kind",
            "revision",
            "transmission",
        ];
        let read = |place: &str, text: &str, more: &[&str]| {
            let known = [OF_HANDOVER, more].concat();
            Template::read(text, &known).map_err(|problem| format!("{place}: {problem}"))
        };
        let layout = Self {
            folder: read("folder", &words.folder, &["upc"])?,
            resources: (!words.resources.is_empty())
                .then(|| read("resources", &words.resources, &["upc"]))
                .transpose()?,
            metadata: read("metadata", &words.metadata, &["upc"])?,
            manifest: read("manifest", &words.manifest, &["upc"])?,
            marker: read("marker", &words.marker, &["upc", "folder"])?,
            // The partner's word is looked for when the package is long gone.
            acknowledgement: read("acknowledgement", &words.acknowledgement, &[])?,
        };
        let folder = &layout.folder;
        if !(folder.names("key") || folder.names("upc") && folder.names("timestamp")) {
            return Err(
                "folder: it must name {key}, or {upc} and {timestamp}, so that no two hand-overs \
                 meet in one folder"
                    .to_owned(),
            );
        }
        if !layout.acknowledgement.names("key") {
            return Err("acknowledgement: it must name {key}".to_owned());
        }
        let names = [&words.metadata, &words.manifest, &words.marker];
        for (place, name) in names.iter().enumerate() {
            if names.iter().skip(place + 1).any(|other| other == name) {
                return Err(format!(
                    "metadata, manifest and marker: {name:?} names two of them"
                ));
            }
        }
        Ok(layout)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(specs: Value) -> Result<SftpSpecs, String> {
        serde_json::from_value(specs).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let specs = read(json!({})).unwrap();
        assert_eq!(specs, SftpSpecs::default());
        let specs = read(json!({"layout": {"resources": ""}})).unwrap();
        assert_eq!(specs.layout.resources, None);
        assert_eq!(specs.layout.folder, LayoutSpecs::default().folder);
    }

    #[test]
    fn an_algorithm_that_is_not_old_cannot_be_allowed() {
        let specs = read(json!({"old_algorithms": ["ssh-rsa"]})).unwrap();
        assert_eq!(specs.old_algorithms[0].kind(), AlgorithmKind::HostKey);
        let problem = read(json!({"old_algorithms": ["none"]})).unwrap_err();
        assert!(problem.contains("\"none\" is none of"), "{problem}");
        assert!(problem.contains("ssh-rsa"), "{problem}");
    }

    #[test]
    fn a_layout_that_could_mix_hand_overs_or_leave_the_directory_is_refused() {
        for (layout, expected) in [
            (json!({"folder": "{upc}"}), "folder: it must name {key}"),
            (json!({"folder": "{date}_{upc}"}), "folder: it must name"),
            (json!({"folder": "/{key}"}), "folder: "),
            (json!({"folder": "../{key}"}), "folder: "),
            (json!({"folder": "a//{key}"}), "folder: "),
            (json!({"folder": "{key"}), "folder: "),
            (json!({"folder": "{key}_{isrc}"}), "{isrc} is not known"),
            (json!({"metadata": "x\\y.json"}), "metadata: "),
            (json!({"metadata": ""}), "metadata: "),
            (
                json!({"acknowledgement": "ACK.json"}),
                "acknowledgement: it must",
            ),
            (
                json!({"acknowledgement": "{upc}_{key}.json"}),
                "{upc} is not known",
            ),
            (json!({"marker": "manifest.json"}), "names two of them"),
        ] {
            let problem = read(json!({ "layout": layout })).unwrap_err();
            assert!(problem.contains(expected), "{layout}: {problem}");
        }
        read(json!({"layout": {"folder": "{upc}/{timestamp}", "marker": "{folder}.done"}}))
            .unwrap();
    }
}
