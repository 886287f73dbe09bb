//! A few seconds of music for a track: chords, bass and a melody in the track's key and tempo,
//! different for every recording, coded as WAV or FLAC.

use std::f32::consts::TAU;

use anyhow::anyhow;
use flacenc::{component::BitRepr, error::Verify};

use super::Dice;
use crate::demo::catalogue::{AudioFormat, Track};

/// Every FLAC frame has this many samples, the last one too: a shorter last one makes strict
/// readers take the stream for one of variable block size.
const BLOCK_SAMPLES: usize = 4096;
const CHANNELS: u16 = 2;
/// Steps of the sine table; a power of two.
const TABLE: usize = 4096;

/// The track's audio file.
pub(super) fn encode(track: &Track) -> anyhow::Result<Vec<u8>> {
    let samples = play(track);
    match track.audio {
        AudioFormat::Wav16 | AudioFormat::Wav24 => wav(&samples, track.audio),
        AudioFormat::Flac16 | AudioFormat::Flac24 => flac(&samples, track.audio),
    }
}

/// A note of the piece: when, how high, how loud, where between left and right.
struct Note {
    from: usize,
    samples: usize,
    hertz: f32,
    gain: f32,
    /// 0 left, 1 right.
    pan: f32,
    /// Strengths of the partials.
    timbre: &'static [f32],
}

/// Interleaved stereo samples in the range of the format's bits.
fn play(track: &Track) -> Vec<i32> {
    let rate = track.audio.sample_rate_hz() as f32;
    let wanted = usize::from(track.seconds) * track.audio.sample_rate_hz() as usize;
    let frames = wanted.next_multiple_of(BLOCK_SAMPLES);
    let mut mix = vec![[0.0_f32; 2]; frames];
    let sine: Vec<f32> = (0..TABLE)
        .map(|step| (step as f32 * TAU / TABLE as f32).sin())
        .collect();
    for note in compose(track, rate, frames) {
        add(&mut mix, &note, rate, &sine);
    }
    let peak = mix
        .iter()
        .flatten()
        .fold(0.1_f32, |peak, sample| peak.max(sample.abs()));
    let full_scale = f32::from(2_u16).powi(i32::from(track.audio.bits_per_sample()) - 1);
    let gain = full_scale * 0.7 / peak;
    mix.iter()
        .flatten()
        .map(|sample| (sample * gain) as i32)
        .collect()
}

fn compose(track: &Track, rate: f32, frames: usize) -> Vec<Note> {
    const MINOR: &[i32] = &[0, 2, 3, 5, 7, 8, 10];
    const MAJOR: &[i32] = &[0, 2, 4, 5, 7, 9, 11];
    const PROGRESSIONS: &[[usize; 4]] = &[
        [0, 3, 4, 0],
        [0, 5, 3, 4],
        [5, 3, 0, 4],
        [0, 2, 3, 4],
        [0, 4, 5, 3],
    ];
    const PAD: &[f32] = &[1.0, 0.35, 0.12];
    const BASS: &[f32] = &[1.0, 0.2];
    const LEADS: &[&[f32]] = &[
        &[1.0, 0.0, 0.3, 0.0, 0.15],
        &[1.0, 0.5, 0.25, 0.12],
        &[1.0, 0.1, 0.05],
    ];
    let mut dice = Dice::of(&track.isrc);
    let scale = if track.key.ends_with("minor") || track.key.ends_with("Minor") {
        MINOR
    } else {
        MAJOR
    };
    let tonic = 45 + pitch_class(&track.key);
    let progression = dice.pick(PROGRESSIONS, [0, 3, 4, 0]);
    let lead = dice.pick(LEADS, PAD);
    let beat = (60.0 / f32::from(track.bpm.max(30)) * rate) as usize;
    let height = |degree: usize, octave: i32| {
        let step = scale.get(degree % 7).copied().unwrap_or_default();
        let octaves = octave + i32::try_from(degree / 7).unwrap_or_default();
        440.0 * 2_f32.powf((tonic + step + 12 * octaves - 69) as f32 / 12.0)
    };
    let mut notes = Vec::new();
    let mut degree = 7;
    for (at, from) in (0..frames).step_by(beat.max(1)).enumerate() {
        let root = progression.get(at / 4 % 4).copied().unwrap_or_default();
        let mut note = |samples, hertz, gain, pan, timbre| {
            notes.push(Note {
                from,
                samples,
                hertz,
                gain,
                pan,
                timbre,
            });
        };
        if at % 4 == 0 {
            for (voice, pan) in [(0, 0.25), (2, 0.5), (4, 0.75)] {
                note(beat * 4, height(root + voice, 1), 0.18, pan, PAD);
            }
        }
        if at % 2 == 0 {
            note(beat * 2, height(root, 0), 0.4, 0.5, BASS);
        }
        degree = (degree + dice.below(5) as usize)
            .saturating_sub(2)
            .clamp(4, 13);
        let pan = 0.3 + dice.below(40) as f32 / 100.0;
        note(
            beat * (1 + dice.below(2) as usize),
            height(degree, 1),
            0.35,
            pan,
            lead,
        );
    }
    notes
}

/// Semitones above A of the key's tonic: `F♯ minor`.
fn pitch_class(key: &str) -> i32 {
    let mut letters = key.chars();
    let natural = match letters.next() {
        Some('B') => 2,
        Some('C') => 3,
        Some('D') => 5,
        Some('E') => 7,
        Some('F') => 8,
        Some('G') => 10,
        _ => 0,
    };
    match letters.next() {
        Some('♯') => natural + 1,
        Some('♭') => natural - 1,
        _ => natural,
    }
}

/// Adds a note with a quick attack and a slow decay.
fn add(mix: &mut [[f32; 2]], note: &Note, rate: f32, sine: &[f32]) {
    let attack = 0.012 * rate;
    let release = (note.samples as f32 * 0.25).max(1.0);
    for (partial, strength) in (1_u8..).zip(note.timbre) {
        let step = note.hertz * f32::from(partial) / rate * TABLE as f32;
        if *strength == 0.0 || step > TABLE as f32 / 2.2 {
            continue;
        }
        let mut phase = 0.0_f32;
        let played = mix.iter_mut().skip(note.from).take(note.samples);
        for (at, frame) in played.enumerate() {
            let (at, left) = (at as f32, (note.samples - at) as f32);
            let envelope = (at / attack).min(1.0) * (left / release).min(1.0);
            let wave = sine.get(phase as usize).copied().unwrap_or_default();
            let sample = wave * envelope * note.gain * strength;
            frame[0] += sample * (1.0 - note.pan);
            frame[1] += sample * note.pan;
            phase += step;
            if phase >= TABLE as f32 {
                phase -= TABLE as f32;
            }
        }
    }
}

/// Plain WAVE_FORMAT_PCM with nothing after the samples: partners refuse WAVE_FORMAT_EXTENSIBLE,
/// which is what writers usually make of 24 bit.
fn wav(samples: &[i32], format: AudioFormat) -> anyhow::Result<Vec<u8>> {
    let bytes_per_sample = format.bits_per_sample() / 8;
    let data = u32::try_from(samples.len() * usize::from(bytes_per_sample))?;
    let frame = bytes_per_sample * CHANNELS;
    let rate = format.sample_rate_hz();
    let mut file = Vec::with_capacity(44 + data as usize);
    file.extend(b"RIFF");
    file.extend((36 + data).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(CHANNELS.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(frame)).to_le_bytes());
    file.extend(frame.to_le_bytes());
    file.extend(format.bits_per_sample().to_le_bytes());
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    for sample in samples {
        let bytes = sample.to_le_bytes();
        file.extend(bytes.iter().take(usize::from(bytes_per_sample)));
    }
    Ok(file)
}

fn flac(samples: &[i32], format: AudioFormat) -> anyhow::Result<Vec<u8>> {
    let config = flacenc::config::Encoder::default()
        .into_verified()
        .map_err(|(_, error)| anyhow!("the FLAC encoder's settings: {error}"))?;
    let source = flacenc::source::MemSource::from_samples(
        samples,
        usize::from(CHANNELS),
        usize::from(format.bits_per_sample()),
        usize::try_from(format.sample_rate_hz())?,
    );
    let stream = flacenc::encode_with_fixed_block_size(&config, source, BLOCK_SAMPLES)
        .map_err(|error| anyhow!("the FLAC encoder: {error}"))?;
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream
        .write(&mut sink)
        .map_err(|error| anyhow!("the FLAC encoder: {error}"))?;
    Ok(sink.into_inner())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, io::Cursor};

    use super::*;
    use crate::demo::catalogue::Catalogue;

    fn one_of_each_format() -> Vec<Track> {
        let mut seen = Vec::new();
        Catalogue::embedded()
            .unwrap()
            .releases
            .into_iter()
            .flat_map(|release| release.tracks)
            .filter(|track| {
                let new = !seen.contains(&track.audio);
                seen.push(track.audio);
                new
            })
            .collect()
    }

    #[test]
    fn wav_files_are_plain_pcm_and_end_with_the_samples() {
        for track in one_of_each_format() {
            let (AudioFormat::Wav16 | AudioFormat::Wav24) = track.audio else {
                continue;
            };
            let file = encode(&track).unwrap();
            assert_eq!(&file[20..22], &[1, 0], "WAVE_FORMAT_PCM");
            let mut reader = hound::WavReader::new(Cursor::new(&file)).unwrap();
            let spec = reader.spec();
            assert_eq!(spec.channels, 2);
            assert_eq!(spec.sample_rate, track.audio.sample_rate_hz());
            assert_eq!(spec.bits_per_sample, track.audio.bits_per_sample());
            let samples: Vec<i32> = reader.samples().map(Result::unwrap).collect();
            assert_eq!(samples, play(&track));
            assert_eq!(
                file.len(),
                44 + samples.len() * usize::from(spec.bits_per_sample / 8)
            );
        }
    }

    #[test]
    fn flac_files_say_what_they_hold() {
        for track in one_of_each_format() {
            let (AudioFormat::Flac16 | AudioFormat::Flac24) = track.audio else {
                continue;
            };
            let file = encode(&track).unwrap();
            let block = u16::try_from(BLOCK_SAMPLES).unwrap().to_be_bytes();
            assert_eq!(&file[..4], b"fLaC");
            assert_eq!(&file[8..10], &block, "smallest block");
            assert_eq!(&file[10..12], &block, "largest block");
            let packed = u64::from_be_bytes(file[18..26].try_into().unwrap());
            assert_eq!(packed >> 44, u64::from(track.audio.sample_rate_hz()));
            assert_eq!(packed >> 41 & 7, 1, "stereo");
            assert_eq!(
                (packed >> 36 & 31) + 1,
                u64::from(track.audio.bits_per_sample())
            );
            assert_eq!(packed & 0xf_ffff_ffff, play(&track).len() as u64 / 2);
        }
    }

    #[test]
    fn every_recording_sounds_different_and_none_is_silent() {
        let mut pieces = HashSet::new();
        for mut track in one_of_each_format() {
            for other in ["DETMD2699998", "DETMD2699999"] {
                other.clone_into(&mut track.isrc);
                track.seconds = 2;
                let piece = play(&track);
                let loud = piece.iter().filter(|sample| sample.abs() > 1000).count();
                assert!(loud > piece.len() / 2);
                assert!(pieces.insert(piece));
            }
        }
    }
}
