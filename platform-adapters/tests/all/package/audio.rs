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
            "has 4 channels, 1 or 2 are taken",
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
            "not a sound MP3 file: no frame of layer III stands where its audio begins",
        ),
        (
            b"\xFF\xF1\x50\x80abcdefgh",
            "not a sound MP3 file: no frame of layer III stands where its audio begins",
        ),
        (
            b"FORM\0\0\0\0AIFF",
            "not a sound AIFF file: it does not say how its samples are written",
        ),
        (b"OggS\0\x02\0\0\0\0\0\0", "an Ogg file"),
        (
            b"\0\0\0\x0cftypM4A ",
            "truncated, or no sound MP4 file: it does not say what it holds (moov)",
        ),
        (
            b"RF64\xFF\xFF\xFF\xFFWAVE",
            "an RF64 file, and only plain WAV (up to 4 GiB) is taken",
        ),
        (
            b"hello",
            "no audio file of a kind that is known here (WAV, FLAC, AIFF, MP3, AAC in MP4)",
        ),
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

/// What is said of a file by a platform that takes every coding.
async fn said_by_all_takers(bytes: &[u8]) -> Vec<String> {
    let fixture = Fixture::new();
    let release = with_audio(&fixture, bytes);
    let mut platform = fixtures::platform();
    platform.format_specs.audio = ["wav", "flac", "aiff", "mp3", "aac"].map(Into::into).into();
    words(findings_for(&fixture, &release, &platform).await)
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&name[..], &length, body].concat()
}

/// Stereo, 16 bits, 44.1 kHz.
fn aiff(frames: u32) -> Vec<u8> {
    let mut common = 2_u16.to_be_bytes().to_vec();
    common.extend(frames.to_be_bytes());
    common.extend(16_u16.to_be_bytes());
    common.extend(b"\x40\x0E\xAC\x44\0\0\0\0\0\0");
    let mut sound = vec![0; 8];
    sound.resize(8 + frames as usize * 4, 5);
    let chunks = [
        b"AIFF".to_vec(),
        chunk(b"COMM", &common),
        chunk(b"SSND", &sound),
    ];
    chunk(b"FORM", &chunks.concat())
}

#[tokio::test]
async fn aiff_where_the_platform_takes_it() {
    let good = aiff(4410);
    assert_eq!(
        said_of(&good).await,
        ["is aiff, the platform takes flac, wav only"]
    );
    assert_eq!(said_by_all_takers(&good).await, [""; 0]);
    let silent = [&good[..54], &vec![0; 4410 * 4]].concat();
    for (bytes, problem) in [
        (
            &good[..good.len() - 3],
            "is truncated: its header promises 17640",
        ),
        (&good[..40], "is truncated: it ends before its audio"),
        (
            &[&good[..], b"TAG"].concat(),
            "has 3 bytes after its last chunk",
        ),
        (&silent, "is silent from beginning to end"),
    ] {
        let said = said_by_all_takers(bytes).await.join("; ");
        assert!(said.contains(problem), "{said}");
    }
}

/// Frames of MPEG 1, layer III, 128 kbit/s, 44.1 kHz.
fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0x55; 417];
    frame[..4].copy_from_slice(&[0xFF, 0xFB, 0x90, 0x00]);
    frame.repeat(frames)
}

#[tokio::test]
async fn mp3_where_the_platform_takes_it() {
    let good = mp3(100);
    let id3 = b"ID3\x04\0\0\0\0\0\x02ab";
    let old_tag = [&b"TAG"[..], &[0; 125]].concat();
    let tagged = [&id3[..], &good, &old_tag].concat();
    for bytes in [&good, &tagged] {
        assert_eq!(said_by_all_takers(bytes).await, [""; 0]);
    }
    let mut damaged = good.clone();
    damaged.remove(417 * 50 + 100);
    let said = said_by_all_takers(&damaged).await.join("; ");
    assert!(said.contains("cannot be decoded from 0:01 on"), "{said}");
    let said = said_by_all_takers(&good[..good.len() - 1]).await.join("; ");
    assert!(said.contains("its last frame is cut off"), "{said}");
    // 100 frames of 1152 samples are 2.6 s.
    let fixture = Fixture::new();
    let mut release = with_audio(&fixture, &good);
    release.tracks[0].duration_s = Some(60);
    let said = problems(&fixture, &release).await.join("; ");
    assert!(said.contains("plays 2.6 s"), "{said}");
}

fn atom(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&length[..], name, body].concat()
}

/// One audio track of 3 s, with the samples before or after what describes them.
fn mp4(coding: &[u8; 4]) -> Vec<u8> {
    let mut entry = vec![0; 16];
    entry.extend([0, 2, 0, 16, 0, 0, 0, 0]);
    entry.extend((44_100_u32 << 16).to_be_bytes());
    entry.extend([0; 20]);
    let entries = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &atom(coding, &entry)].concat();
    let mut header = vec![0; 12];
    header.extend(44_100_u32.to_be_bytes());
    header.extend((3 * 44_100_u32).to_be_bytes());
    header.extend([0; 4]);
    let table = atom(b"stbl", &atom(b"stsd", &entries));
    let media = [atom(b"mdhd", &header), atom(b"minf", &table)].concat();
    let track = atom(b"trak", &atom(b"mdia", &media));
    [
        atom(b"ftyp", b"M4A \0\0\0\0"),
        atom(b"mdat", &[7; 5000]),
        atom(b"moov", &track),
    ]
    .concat()
}

#[tokio::test]
async fn aac_where_the_platform_takes_it() {
    let good = mp4(b"mp4a");
    assert_eq!(said_by_all_takers(&good).await, [""; 0]);
    assert_eq!(
        said_of(&good).await,
        ["is aac, the platform takes flac, wav only"]
    );
    for (bytes, problem) in [
        (&good[..good.len() - 1], "ends beyond its end"),
        (&good[..3000], "ends beyond its end"),
        (&mp4(b"alac")[..], "Apple Lossless"),
        (&mp4(b"drms")[..], "is encrypted"),
        (&mp4(b"text")[..], "holds no audio track"),
    ] {
        let said = said_by_all_takers(bytes).await.join("; ");
        assert!(said.contains(problem), "{said}");
    }
}

/// Made by ffmpeg: a second of silence, or with a tone in its last tenth.
#[tokio::test]
async fn silence_that_was_encoded_is_told_from_what_is_silent_only_at_first() {
    let silent = "is silent from beginning to end";
    for (bytes, is_silent) in [
        (&include_bytes!("audio/silent.mp3")[..], true),
        (include_bytes!("audio/silent.m4a"), true),
        (include_bytes!("audio/tone_at_the_end.mp3"), false),
        (include_bytes!("audio/tone_at_the_end.m4a"), false),
    ] {
        let said = said_by_all_takers(bytes).await.join("; ");
        assert_eq!(said.contains(silent), is_silent, "{said}");
        assert!(!said.contains("damaged"), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_changed_byte_of_encoded_audio_makes_no_panic(
        is_aac in any::<bool>(), at in 0usize..1200, byte in any::<u8>(),
    ) {
        let mut bytes = match is_aac {
            true => include_bytes!("audio/silent.m4a").to_vec(),
            false => include_bytes!("audio/silent.mp3").to_vec(),
        };
        bytes[at] = byte;
        tokio::runtime::Runtime::new().unwrap().block_on(said_by_all_takers(&bytes));
    }

    #[test]
    fn no_bytes_make_it_panic(
        start in prop::sample::select(vec![&b""[..], b"fLaC", b"fLaC\x80\0\0\x22", b"RIFF\0\0\0\0WAVE",
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", b"FORM\0\0\0\0AIFF", b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12",
            b"ID3\x04\0\0\0\0\0\0", b"\xFF\xFB\x90\0", b"\0\0\0\x10ftypM4A \0\0\0\0"]),
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
