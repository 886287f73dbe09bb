//! How our words translate into DDEX's allowed values (AVS version 9): the one place for such
//! tables. Values that DDEX deprecated (`EditedVersion`, `CleanVersion`) are not used.

use std::time::Duration;

use crate::{
    package::{AudioCodec, ImageFormat},
    release::ReleaseType,
};

/// The version of the allowed value sets that the words below are from.
pub(super) const AVS_VERSION: &str = "9";

/// What partners show for a release of several artists; other spellings of it become this one.
pub(super) const VARIOUS_ARTISTS: &str = "Various Artists";

/// Genre of a release whose catalogue entry has none: the message must name one.
pub(super) const NO_GENRE: &str = "Other";

/// `HashSum/Algorithm`. The element holds one sum, and MD5 is the one that partners' guides ask for.
pub(super) const HASH_ALGORITHM: &str = "MD5";

/// `TextType` of the words of a recording.
pub(super) const LYRICS: &str = "LyricText";

/// `LinkDescription` from a recording to its words.
pub(super) const LINK_TO_LYRICS: &str = "Lyrics";

/// `TextCodecType` of a text file in UTF-8. ERN 3.8.2 has a word for ASCII only.
pub(super) const UTF8_TEXT: &str = "UTF8Text";

/// Whether a display artist's name is one of the ways to say [`VARIOUS_ARTISTS`].
pub(super) fn is_various(name: &str) -> bool {
    let letters: String = name
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    ["variousartists", "various", "va"].contains(&letters.as_str())
}

/// A display artist's name as it is written.
pub(super) fn shown(name: &str) -> &str {
    if is_various(name) {
        VARIOUS_ARTISTS
    } else {
        name
    }
}

/// `ReleaseType`. DDEX knows no live or remix release: these are told by size, as stores do, and
/// say what they are in `VersionType`.
pub(super) fn release_type(label: ReleaseType, tracks: usize, playing: Duration) -> &'static str {
    match label {
        ReleaseType::Single => "Single",
        ReleaseType::Ep => "EP",
        ReleaseType::Album | ReleaseType::Compilation => "Album",
        ReleaseType::Live | ReleaseType::Remix => {
            if playing > Duration::from_secs(30 * 60) || tracks > 6 {
                "Album"
            } else if tracks > 3 {
                "EP"
            } else {
                "Single"
            }
        }
    }
}

/// `VersionType` of a release of this type.
pub(super) fn release_version(label: ReleaseType) -> Option<&'static str> {
    match label {
        ReleaseType::Live => Some("LiveVersion"),
        ReleaseType::Remix => Some("RemixVersion"),
        _ => None,
    }
}

/// `VersionType` by the words of a subtitle; the first row that fits counts.
const VERSIONS: &[(&str, &str)] = &[
    ("remix", "RemixVersion"),
    ("rmx", "RemixVersion"),
    ("karaoke", "KaraokeVersion"),
    ("instrumental", "InstrumentalVersion"),
    ("a cappella", "ACappellaVersion"),
    ("acapella", "ACappellaVersion"),
    ("acappella", "ACappellaVersion"),
    ("demo", "DemoVersion"),
    ("live", "LiveVersion"),
    ("session", "SessionVersion"),
    ("sessions", "SessionVersion"),
    ("radio", "RadioVersion"),
    ("album version", "AlbumVersion"),
    ("single version", "SingleVersion"),
    ("mono", "MonoVersion"),
    ("stereo", "StereoVersion"),
    ("mix", "MixVersion"),
    ("acoustic", "AlternativeVersion"),
    ("alternate", "AlternativeVersion"),
    ("alternative", "AlternativeVersion"),
];

/// `VersionType` of a recording with this subtitle.
pub(super) fn version(subtitle: &str) -> Option<&'static str> {
    let words = spaced_words(subtitle);
    VERSIONS
        .iter()
        .find(|(word, _)| words.contains(&format!(" {word} ")))
        .map(|(_, version)| *version)
}

/// `ContributorRole` of somebody who plays, by the words of the credit.
const PLAYER_ROLES: &[(&str, &str)] = &[
    ("conductor", "Conductor"),
    ("orchestra", "Orchestra"),
    ("choir", "Choir"),
    ("ensemble", "Ensemble"),
    ("soloist", "Soloist"),
    ("arranger", "MusicArranger"),
    ("programmer", "Programmer"),
    ("programming", "Programmer"),
    ("dj", "DJ"),
    ("session", "StudioMusician"),
    ("studio", "StudioMusician"),
];

/// `ContributorRole` of a credited musician.
pub(super) fn player_role(credit: &str) -> &'static str {
    let words = spaced_words(credit);
    PLAYER_ROLES
        .iter()
        .find(|(word, _)| words.contains(&format!(" {word} ")))
        .map_or("Musician", |(_, role)| role)
}

/// Whether somebody in this role plays an instrument.
pub(super) fn is_player(role: &str) -> bool {
    ["Musician", "StudioMusician", "Soloist", "DJ"].contains(&role)
}

/// `ContributorRole` of a credited singer.
pub(super) fn singer_role(credit: &str) -> &'static str {
    let words = spaced_words(credit);
    let says = |part: &str| words.contains(part);
    if says(" lead") {
        "LeadVocalist"
    } else if says(" back") || says(" harmon") || says(" choir ") {
        "BackgroundVocalist"
    } else {
        "Vocalist"
    }
}

/// A contributor's role in ERN 3.8.2, which keeps those who made the work apart from those who made
/// the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ern3Role {
    /// `ResourceContributorRole`.
    OfRecording(&'static str),
    /// `IndirectResourceContributorRole`.
    OfWork(&'static str),
}

/// The role in ERN 3.8.2, whose list is shorter.
pub(super) fn ern3_role(role: &'static str) -> Ern3Role {
    match role {
        "Composer" | "Lyricist" => Ern3Role::OfWork(role),
        "MusicArranger" => Ern3Role::OfWork("Arranger"),
        "StudioProducer" => Ern3Role::OfRecording("Producer"),
        "MixingEngineer" | "MasteringEngineer" => Ern3Role::OfRecording("StudioPersonnel"),
        "Conductor" | "Orchestra" | "Choir" | "Ensemble" | "Soloist" | "Programmer" => {
            Ern3Role::OfRecording(role)
        }
        _ => Ern3Role::OfRecording("AssociatedPerformer"),
    }
}

/// `ReleaseType` in ERN 3.8.2, which knows no EP.
pub(super) fn ern3_release_type(release_type: &'static str) -> &'static str {
    match release_type {
        "EP" => "Album",
        other => other,
    }
}

/// `InstrumentType` by the credit's word, in lower case and without anything but letters and
/// digits. Instruments that are not here go as `UserDefined` with the credit's own word.
const INSTRUMENTS: &[(&str, &str)] = &[
    ("accordion", "Accordion"),
    ("acousticguitar", "AcousticGuitar"),
    ("altosaxophone", "AltoSaxophone"),
    ("banjo", "Banjo"),
    ("bass", "Bass"),
    ("bassguitar", "BassGuitar"),
    ("bassist", "Bass"),
    ("bassoon", "Bassoon"),
    ("bongos", "Bongos"),
    ("cello", "Cello"),
    ("cellist", "Cello"),
    ("clarinet", "Clarinet"),
    ("classicalguitar", "NylonStringGuitar"),
    ("congas", "Congas"),
    ("contrabass", "DoubleBass"),
    ("doublebass", "DoubleBass"),
    ("drummachine", "DrumMachine"),
    ("drummer", "DrumKit"),
    ("drums", "DrumKit"),
    ("electricbass", "ElectricBassGuitar"),
    ("electricguitar", "ElectricGuitar"),
    ("electricpiano", "ElectricPiano"),
    ("fiddle", "Fiddle"),
    ("flute", "Flute"),
    ("frenchhorn", "FrenchHorn"),
    ("guitar", "Guitar"),
    ("guitarist", "Guitar"),
    ("hammondorgan", "HammondOrgan"),
    ("harmonica", "Harmonica"),
    ("harp", "Harp"),
    ("horn", "Horn"),
    ("kalimba", "Kalimba"),
    ("keyboard", "Keyboard"),
    ("keyboardist", "Keyboard"),
    ("keyboards", "Keyboard"),
    ("keys", "Keyboard"),
    ("kora", "Kora"),
    ("koto", "Koto"),
    ("mandolin", "Mandolin"),
    ("marimba", "Marimba"),
    ("oboe", "Oboe"),
    ("organ", "Organ"),
    ("oud", "Oud"),
    ("percussion", "PercussionInstrument"),
    ("percussionist", "PercussionInstrument"),
    ("pianist", "Piano"),
    ("piano", "Piano"),
    ("rhodes", "Rhodes"),
    ("sampler", "Sampler"),
    ("saxophone", "Saxophone"),
    ("shakuhachi", "Shakuhachi"),
    ("shamisen", "Shamisen"),
    ("sitar", "Sitar"),
    ("slideguitar", "LapSteelGuitar"),
    ("strings", "StringSection"),
    ("synth", "Synthesizer"),
    ("synthesiser", "Synthesizer"),
    ("synthesizer", "Synthesizer"),
    ("tabla", "Tabla"),
    ("tenorsaxophone", "TenorSaxophone"),
    ("trombone", "Trombone"),
    ("trumpet", "Trumpet"),
    ("tuba", "Tuba"),
    ("turntables", "Turntable"),
    ("ukulele", "Ukulele"),
    ("uprightbass", "UprightBass"),
    ("vibraphone", "Vibraphone"),
    ("viola", "Viola"),
    ("violin", "Violin"),
    ("violinist", "Violin"),
];

/// `InstrumentType` of a credited instrument, if DDEX has a word for it here.
pub(super) fn instrument(credit: &str) -> Option<&'static str> {
    let letters: String = credit
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    INSTRUMENTS
        .iter()
        .find(|(word, _)| *word == letters)
        .map(|(_, instrument)| *instrument)
}

/// What a commercial model of `format_specs.ddex.models` allows.
pub(super) struct Model {
    /// The word in the settings.
    pub(super) word: &'static str,
    /// `CommercialModelType`.
    pub(super) commercial_model: &'static str,
    /// `UseType`s.
    pub(super) uses: &'static [&'static str],
    /// `RightsClaimPolicyType`, where the recording is used by matching what consumers upload.
    pub(super) rights_claim: Option<&'static str>,
}

/// The commercial models that a platform can have.
pub(super) const MODELS: &[Model] = &[
    Model {
        word: "subscription",
        commercial_model: "SubscriptionModel",
        uses: &[
            "ConditionalDownload",
            "NonInteractiveStream",
            "OnDemandStream",
        ],
        rights_claim: None,
    },
    Model {
        word: "ad-supported",
        commercial_model: "AdvertisementSupportedModel",
        uses: &["NonInteractiveStream", "OnDemandStream"],
        rights_claim: None,
    },
    Model {
        word: "download",
        commercial_model: "PayAsYouGoModel",
        uses: &["PermanentDownload"],
        rights_claim: None,
    },
    Model {
        word: "user-generated",
        commercial_model: "RightsClaimModel",
        uses: &["UserMakeAvailableUserProvided"],
        rights_claim: Some("Monetize"),
    },
];

/// The commercial model of a word in the settings, in any case.
pub(super) fn model(word: &str) -> Option<&'static Model> {
    MODELS
        .iter()
        .find(|model| model.word.eq_ignore_ascii_case(word))
}

/// `AudioCodecType`.
pub(super) fn audio_codec(codec: AudioCodec) -> &'static str {
    match codec {
        AudioCodec::Pcm | AudioCodec::Aiff => "PCM",
        AudioCodec::Flac => "FLAC",
        AudioCodec::Mp3 => "MP3",
        AudioCodec::Aac => "AAC",
    }
}

/// `ContainerFormat`, where the coding does not name its own.
pub(super) fn container(codec: AudioCodec) -> Option<&'static str> {
    match codec {
        AudioCodec::Pcm => Some("WAV"),
        AudioCodec::Aiff => Some("AIFF"),
        AudioCodec::Aac => Some("MP4"),
        AudioCodec::Flac | AudioCodec::Mp3 => None,
    }
}

/// `ImageCodecType`.
pub(super) fn image_codec(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::Tiff => "TIFF",
    }
}

/// `ParentalWarningType`.
pub(super) fn parental_warning(explicit: bool) -> &'static str {
    if explicit { "Explicit" } else { "NotExplicit" }
}

/// The words of a text in lower case, each with a space on both sides.
fn spaced_words(text: &str) -> String {
    let words: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .flat_map(char::to_lowercase)
        .collect();
    format!(
        " {} ",
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtitles_tell_versions_by_whole_words() {
        assert_eq!(version("Radio Edit"), Some("RadioVersion"));
        assert_eq!(version("Kölsch Remix"), Some("RemixVersion"));
        assert_eq!(version("Live at Loppen, 2024"), Some("LiveVersion"));
        assert_eq!(version("Deliver Me"), None);
        assert_eq!(version("ライブ"), None);
    }

    #[test]
    fn credits_tell_roles_and_instruments() {
        assert_eq!(instrument("Electric Guitar"), Some("ElectricGuitar"));
        assert_eq!(instrument("Nyckelharpa"), None);
        assert_eq!(player_role("Session musician"), "StudioMusician");
        assert_eq!(player_role("Guitarist"), "Musician");
        assert_eq!(singer_role("Backing Vocals"), "BackgroundVocalist");
        assert_eq!(singer_role("lead vocals"), "LeadVocalist");
        assert_eq!(singer_role(""), "Vocalist");
    }

    #[test]
    fn live_and_remix_releases_are_told_by_size() {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        assert_eq!(release_type(ReleaseType::Remix, 3, minutes(20)), "Single");
        assert_eq!(release_type(ReleaseType::Remix, 4, minutes(20)), "EP");
        assert_eq!(release_type(ReleaseType::Live, 2, minutes(45)), "Album");
        assert_eq!(release_type(ReleaseType::Single, 1, minutes(50)), "Single");
    }
}
