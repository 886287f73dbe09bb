//! How the files of a release are named at the partner (`format_specs.file_names`).

use schemars::JsonSchema;
use serde::Deserialize;

use super::Template;
use crate::release::{Isrc, Upc};

/// How the files of a release are named, without the endings (`format_specs.file_names`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "FileNameWords")]
#[schemars(with = "FileNameWords")]
pub struct FileNameSpecs {
    audio: Template,
    artwork: Template,
}

impl Default for FileNameSpecs {
    fn default() -> Self {
        let FileNameWords { audio, artwork } = FileNameWords::default();
        Self {
            audio: Template::literal(audio),
            artwork: Template::literal(artwork),
        }
    }
}

impl FileNameSpecs {
    /// The name of a track's audio, without its ending. No two tracks of a release have the same.
    #[must_use]
    pub fn audio(&self, upc: &Upc, isrc: &Isrc, disc: u32, track: u32) -> String {
        self.audio.fill(&[
            ("upc", upc.as_str()),
            ("icpn", &upc.to_gtin13()),
            ("isrc", isrc.as_str()),
            ("disc", &format!("{disc:02}")),
            ("track", &format!("{track:03}")),
        ])
    }

    /// The name of the front cover, without its ending.
    #[must_use]
    pub fn artwork(&self, upc: &Upc) -> String {
        self.artwork
            .fill(&[("upc", upc.as_str()), ("icpn", &upc.to_gtin13())])
    }
}

/// The names as they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "FileNameSpecs")]
struct FileNameWords {
    audio: String,
    artwork: String,
}

impl Default for FileNameWords {
    fn default() -> Self {
        Self {
            audio: "{upc}_{disc}_{track}".into(),
            artwork: "{upc}".into(),
        }
    }
}

impl TryFrom<FileNameWords> for FileNameSpecs {
    type Error = String;

    fn try_from(words: FileNameWords) -> Result<Self, String> {
        let read = |place: &str, text: &str, known: &[&str]| {
            // What every file system and every partner's script takes.
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.{}".contains(c);
            if text.starts_with('.') || !text.chars().all(is_plain) {
                return Err(format!(
                    "{place}: {text:?} is not made of letters, digits, \"_\", \"-\", \".\" and \
                     placeholders"
                ));
            }
            Template::read(text, known).map_err(|problem| format!("{place}: {problem}"))
        };
        let names = Self {
            audio: read(
                "audio",
                &words.audio,
                &["upc", "icpn", "isrc", "disc", "track"],
            )?,
            artwork: read("artwork", &words.artwork, &["upc", "icpn"])?,
        };
        let audio = &names.audio;
        if !(audio.names("isrc") || audio.names("disc") && audio.names("track")) {
            return Err(
                "audio: it must name {disc} and {track}, or {isrc}, so that no two tracks have \
                 the same name"
                    .to_owned(),
            );
        }
        Ok(names)
    }
}
