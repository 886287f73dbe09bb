//! What the check says about audio files.

use platform_adapters::release::{Release, ReleaseType};
use proptest::prelude::*;

use super::{findings_for, problems, words};
use crate::fixtures::{self, Fixture, flac, flac_1s, wav};

fn with_audio(fixture: &Fixture, bytes: &[u8]) -> Release {
    let mut release = fixture.release(ReleaseType::Single, 1);
    fixture.write("audio", bytes);
    release.tracks[0].audio_file = Some("audio".into());
    release.tracks[0].duration_s = None;
    release
}

/// What the check says about an audio file of these bytes.
async fn said_of(bytes: &[u8]) -> Vec<String> {
    let fixture = Fixture::new();
    let release = with_audio(&fixture, bytes);
    problems(&fixture, &release)
        .await
        .into_iter()
        .map(|problem| {
            let said = problem.strip_prefix("track 1 audio_file: \"audio\" ");
            said.unwrap_or(&problem).to_owned()
        })
        .collect()
}

#[tokio::test]
async fn good_files_of_all_kinds() {
    for bytes in [
        wav(44_100, 16, 1, 0.1),
        wav(96_000, 24, 2, 0.1),
        flac(44_100, 16, 1, 0.01),
        flac(48_000, 24, 2, 0.7),
        flac(96_000, 16, 2, 2.0),
    ] {
        assert_eq!(said_of(&bytes).await, [""; 0]);
    }
}

#[tokio::test]
async fn truncated_wav() {
    let whole = wav(44_100, 16, 2, 1.0);
    for length in [whole.len() - 1, whole.len() / 2, 45] {
        assert_eq!(
            said_of(&whole[..length]).await,
            [format!(
                "is truncated: its header promises 176400 bytes of audio, {} are there",
                length - 44
            )]
        );
    }
    for length in [13, 36, 43] {
        assert_eq!(
            said_of(&whole[..length]).await,
            ["is truncated: it ends before its audio data"]
        );
    }
}

#[tokio::test]
async fn truncated_flac() {
    let whole = flac_1s();
    for length in [whole.len() - 1, whole.len() - 700, whole.len() / 2] {
        assert_eq!(
            said_of(&whole[..length]).await,
            ["is truncated or damaged: it does not end with the last frame of its audio"]
        );
    }
    for length in [5, 41, 42] {
        assert_eq!(
            said_of(&whole[..length]).await,
            ["is truncated: it ends before its audio data"]
        );
    }
}

#[tokio::test]
async fn flac_that_lost_its_last_frame_cleanly() {
    // The encoder makes frames of 4096 samples; two lengths that share all but the last of them.
    let long = flac(44_100, 16, 2, 0.5);
    let mut cut = long[..42].to_vec();
    let short = flac(44_100, 16, 2, 4096.0 * 5.0 / 44_100.0);
    assert!(short.len() < long.len());
    cut.extend_from_slice(&short[42..]);
    assert_eq!(
        said_of(&cut).await,
        ["is truncated or damaged: it does not end with the last frame of its audio"]
    );
}

#[tokio::test]
async fn bytes_after_the_audio() {
    let mut tagged = wav(44_100, 16, 2, 0.1);
    tagged.extend_from_slice(b"LIST\x04\0\0\0INFO");
    assert_eq!(
        said_of(&tagged).await,
        ["has 12 bytes after its audio data, which stores refuse"]
    );
    let mut tagged = flac_1s().to_vec();
    tagged.extend_from_slice(b"TAG");
    assert_eq!(
        said_of(&tagged).await,
        ["is truncated or damaged: it does not end with the last frame of its audio"]
    );
}

#[tokio::test]
async fn chunks_before_the_audio_are_good() {
    let plain = wav(44_100, 16, 2, 0.1);
    let mut bytes = plain[..12].to_vec();
    bytes.extend_from_slice(b"JUNK\x03\0\0\0abc\0");
    bytes.extend_from_slice(&plain[12..]);
    assert_eq!(said_of(&bytes).await, [""; 0]);
}

#[tokio::test]
async fn properties_that_no_store_takes() {
    assert_eq!(
        said_of(&wav(22_050, 32, 4, 0.1)).await,
        [
            "has a sample rate of 22050 Hz, at least 44100 are needed",
            "has 32 bits per sample, 16 or 24 are taken",
            "has 4 channels, one or two are taken",
        ]
    );
    let mut extensible = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 24,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut extensible, spec).unwrap();
    for sample in 0..100 {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    assert_eq!(
        said_of(extensible.get_ref()).await,
        ["is written as WAVE_FORMAT_EXTENSIBLE, which stores refuse"]
    );
    let mut float = wav(44_100, 16, 2, 0.1);
    float[20] = 3;
    assert_eq!(
        said_of(&float).await,
        ["is WAV with coding 0x0003, only PCM is taken"]
    );
    assert_eq!(said_of(&wav(44_100, 16, 2, 0.0)).await, ["holds no audio"]);
}

#[tokio::test]
async fn other_kinds_of_file() {
    for (bytes, what) in [
        (
            &b"ID3\x04\0\0\0\0\0\0\0\0"[..],
            "an MP3 file, or begins with an ID3 tag",
        ),
        (
            b"\xFF\xFB\x90\x64abcdefgh",
            "an MPEG audio file (MP3 or AAC)",
        ),
        (b"FORM\0\0\0\0AIFF", "an AIFF file"),
        (b"OggS\0\x02\0\0\0\0\0\0", "an Ogg file"),
        (b"\0\0\0\x20ftypM4A ", "an MP4 file"),
        (
            b"RF64\xFF\xFF\xFF\xFFWAVE",
            "an RF64 file, and only plain WAV (up to 4 GiB) is taken",
        ),
        (b"hello", "neither WAV nor FLAC"),
    ] {
        assert_eq!(said_of(bytes).await, [format!("is {what}")]);
    }
}

#[tokio::test]
async fn the_platform_and_the_track_have_a_say() {
    let fixture = Fixture::new();
    let mut release = with_audio(&fixture, flac_1s());
    let mut platform = fixtures::platform();
    platform.format_specs.audio = vec!["WAV".into()];
    release.tracks[0].duration_s = Some(3);
    assert_eq!(
        words(findings_for(&fixture, &release, &platform).await),
        ["track 1 audio_file: \"audio\" is flac, the platform takes WAV only"]
    );
    release.tracks[0].duration_s = Some(4);
    platform.format_specs.audio = vec!["flac".into()];
    assert_eq!(
        words(findings_for(&fixture, &release, &platform).await),
        ["track 1 audio_file: \"audio\" plays 1.0 s, the track's duration is 4 s"]
    );
}

/// Files near the limit of the format are looked at, not read: a sparse file takes no room.
#[tokio::test]
async fn a_very_long_wav_is_judged_by_its_sizes() {
    let fixture = Fixture::new();
    let mut header = wav(44_100, 16, 2, 0.0);
    let length: u32 = 4_000_000_000;
    header[40..44].copy_from_slice(&length.to_le_bytes());
    let mut release = with_audio(&fixture, &header);
    let path = fixture.root().join("audio");
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(44 + u64::from(length) - 1).unwrap();
    release.tracks[0].duration_s = Some(22_676);
    assert_eq!(
        problems(&fixture, &release).await,
        [
            "track 1 audio_file: \"audio\" is truncated: its header promises 4000000000 bytes of \
             audio, 3999999999 are there"
        ]
    );
}

#[tokio::test]
async fn silence_from_beginning_to_end_is_said_of() {
    let words = "is silent from beginning to end: every sample is zero";
    let mut silent = wav(44_100, 16, 2, 1.0);
    silent[44..].fill(0);
    assert_eq!(said_of(&silent).await, [words]);
    // One sample is enough.
    let last = silent.len() - 1;
    silent[last] = 1;
    assert_eq!(said_of(&silent).await, Vec::<String>::new());

    let encoded = fixtures::flac_of(&vec![0; 88_200], 44_100, 16, 2);
    assert_eq!(said_of(&encoded).await, [words]);
}

#[tokio::test]
async fn damage_in_the_middle_of_flac_is_said_of() {
    let good = fixtures::flac_1s();
    assert_eq!(said_of(good).await, Vec::<String>::new());
    let mut damaged = good.to_vec();
    let middle = damaged.len() / 2;
    for byte in &mut damaged[middle..middle + 8] {
        *byte ^= 0x55;
    }
    let found = said_of(&damaged).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("is damaged: it cannot be decoded from 0:00 on"),
        "{found:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_panic(
        start in prop::sample::select(vec![&b""[..], b"fLaC", b"fLaC\x80\0\0\x22", b"RIFF\0\0\0\0WAVE",
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start, &rest].concat();
        tokio::runtime::Runtime::new().unwrap().block_on(said_of(&bytes));
    }

    #[test]
    fn a_changed_byte_in_a_header_makes_no_panic(
        is_flac in any::<bool>(), at in 0usize..120, byte in any::<u8>(),
    ) {
        let mut bytes = if is_flac { flac_1s().to_vec() } else { wav(44_100, 16, 2, 0.1) };
        bytes[at] = byte;
        tokio::runtime::Runtime::new().unwrap().block_on(said_of(&bytes));
    }

    #[test]
    fn a_flac_cut_anywhere_is_noticed(cut in 1usize..8000) {
        let whole = flac_1s();
        let length = whole.len().saturating_sub(cut).max(1);
        let said = tokio::runtime::Runtime::new().unwrap().block_on(said_of(&whole[..length]));
        prop_assert_eq!(said.len(), 1);
    }
}
