//! From a release of the catalogue to a package: everything is checked, and what is wrong is said at
//! once. Files are read whole on the way, for their hash sums and for what only listening tells,
//! unless that is known already.

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use tokio::sync::Semaphore;

use super::{
    artwork::{self, Cover},
    assets::NotFound,
    audio::{self, Content},
    findings::{Findings, Objection, ProbeError},
    inspect::{self, Inspection},
    lyrics, metadata_checks,
    numbering::{self, Placed},
    reader::Reader,
};
use crate::{
    Fault, Kind,
    package::{
        AssetStore, AudioProperties, Package, PackagedArtwork, PackagedAudio, PackagedFile,
        PackagedTrack,
    },
    release::{Isrc, Release, Track, Upc},
    settings::{FileNameSpecs, Platform},
};

/// Files looked at at the same time: their headers are small, and a distant store answers slowly.
const PROBES_AT_ONCE: usize = 8;

/// Files read whole at the same time, so that one release takes neither all cores nor much memory.
const READ_AT_ONCE: usize = 2;

/// A file that passed its checks.
struct Checked<T> {
    meta: ObjectMeta,
    found: Inspection,
    properties: T,
}

/// Checks a release for a platform and packages it.
///
/// A takedown needs no files and nowhere to sell; all else is checked as for the other kinds.
///
/// Tracks come out in playing order. Where no track of the release has a number, they are numbered
/// in the order in which the release gives them. Lyrics come out as files where the platform takes
/// them, and otherwise not at all, so that a change of them changes no package without them.
///
/// # Errors
/// [`crate::Code::PackageInvalid`] with everything that was found, or the asset store's own fault
/// when it cannot be read.
pub async fn assemble(
    release: &Release,
    platform: &Platform,
    kind: Kind,
    assets: &AssetStore,
) -> Result<Package, Fault> {
    let mut findings = Findings::default();
    let upc = metadata_checks::upc(release, &mut findings);
    if release.tracks.is_empty() {
        findings.add("tracks", "are missing", "Add the release's tracks.");
    }
    let placed = numbering::place(&release.tracks, &mut findings);
    metadata_checks::texts(release, &placed, &mut findings);
    let isrcs = metadata_checks::isrcs(&placed, &mut findings);
    let (territories, media) = if kind == Kind::Takedown {
        let territories = release
            .territories
            .without(&platform.territory_restrictions);
        (territories, None)
    } else {
        let territories = metadata_checks::territories(release, platform, &mut findings);
        let media = Media::check(release, &placed, platform, assets, &mut findings).await?;
        (territories, Some(media))
    };
    let has_lyrics = kind != Kind::Takedown && platform.takes_lyrics();
    let lyrics = placed.iter().map(|placed| match has_lyrics {
        true => lyrics::check(placed, &mut findings),
        false => None,
    });
    let lyrics: Vec<_> = lyrics.collect();
    let isrcs: Option<Vec<Isrc>> = isrcs.into_iter().collect();
    let (Some(upc), Some(isrcs), []) = (upc, isrcs, findings.0.as_slice()) else {
        return Err(Fault::package_invalid(findings.0));
    };
    let names = &platform.format_specs.file_names;
    let (audio, artwork) = match media {
        Some(media) => media.package(&upc, &isrcs, &placed, names),
        None => (placed.iter().map(|_| None).collect(), None),
    };
    let tracks = placed
        .into_iter()
        .zip(isrcs)
        .zip(audio.into_iter().zip(lyrics))
        .map(|((placed, isrc), (audio, lyrics))| PackagedTrack {
            track: without_lyrics(placed.track),
            number: placed.number,
            lyrics: lyrics.map(|text| {
                let name = names.audio(&upc, &isrc, placed.track.disc, placed.number);
                lyrics::packaged(&name, placed.track.id, text)
            }),
            isrc,
            audio,
        })
        .collect();
    Ok(Package {
        release: Release {
            tracks: release.tracks.iter().map(without_lyrics).collect(),
            ..release.clone()
        },
        upc,
        tracks,
        artwork,
        territories,
    })
}

/// What of a track goes into messages. Lyrics are a file.
fn without_lyrics(track: &Track) -> Track {
    Track {
        lyrics: None,
        ..track.clone()
    }
}

/// The files of a release. Complete when nothing was found.
struct Media {
    audio: Vec<Checked<AudioProperties>>,
    artwork: Option<Checked<Cover>>,
}

impl Media {
    async fn check(
        release: &Release,
        placed: &[Placed<'_>],
        platform: &Platform,
        assets: &AssetStore,
        findings: &mut Findings,
    ) -> Result<Self, Fault> {
        let readers = Semaphore::new(READ_AT_ONCE);
        let probes = placed
            .iter()
            .map(|placed| check_audio(placed, platform, assets, &readers))
            .collect::<Vec<_>>();
        let probed: Vec<_> = stream::iter(probes)
            .buffered(PROBES_AT_ONCE)
            .try_collect()
            .await?;
        let mut audio = Vec::with_capacity(probed.len());
        for (checked, found) in probed {
            audio.extend(checked);
            findings.0.extend(found.0);
        }
        let (artwork, found) = check_artwork(release.artwork.as_deref(), platform, assets).await?;
        findings.0.extend(found.0);
        Ok(Self { audio, artwork })
    }

    /// Names the files.
    fn package(
        self,
        upc: &Upc,
        isrcs: &[Isrc],
        placed: &[Placed<'_>],
        names: &FileNameSpecs,
    ) -> (Vec<Option<PackagedAudio>>, Option<PackagedArtwork>) {
        let tracks = placed.iter().zip(isrcs);
        let audio = self
            .audio
            .into_iter()
            .zip(tracks)
            .map(|(checked, (placed, isrc))| {
                let (extension, media_type) = checked.properties.codec.file_type();
                let name = names.audio(upc, isrc, placed.track.disc, placed.number);
                let name = format!("{name}.{extension}");
                Some(PackagedAudio {
                    file: packaged(name, media_type, checked.meta, checked.found),
                    properties: checked.properties,
                })
            });
        let audio = audio.collect();
        let Some(Checked {
            meta,
            found,
            properties,
        }) = self.artwork
        else {
            return (audio, None);
        };
        let (extension, media_type) = properties.format.file_type();
        let artwork = PackagedArtwork {
            file: packaged(
                format!("{}.{extension}", names.artwork(upc)),
                media_type,
                meta,
                found,
            ),
            format: properties.format,
            width_px: properties.width_px,
            height_px: properties.height_px,
        };
        (audio, Some(artwork))
    }
}

fn packaged(
    name: String,
    media_type: &'static str,
    meta: ObjectMeta,
    found: Inspection,
) -> PackagedFile {
    PackagedFile {
        name,
        path: meta.location,
        text: None,
        size: meta.size,
        sha256: found.sha256,
        md5: found.md5,
        media_type,
    }
}

async fn check_audio(
    placed: &Placed<'_>,
    platform: &Platform,
    assets: &AssetStore,
    readers: &Semaphore,
) -> Result<(Option<Checked<AudioProperties>>, Findings), Fault> {
    let field = format!("{} audio_file", placed.name);
    let mut findings = Findings::default();
    let path = placed.track.audio_file.as_deref().unwrap_or_default();
    if path.is_empty() {
        findings.add(
            field,
            format!("of {:?} is not set", placed.track.title),
            "Upload the track's audio and set tracks.audio_file to its path in the asset store.",
        );
        return Ok((None, findings));
    }
    let found = async {
        let meta = find(path, assets).await?;
        let probed = audio::probe(&mut Reader::new(assets, &meta)).await?;
        Ok((meta, probed))
    };
    match found.await {
        Ok((meta, probed)) => {
            let accepted = &platform.format_specs.audio;
            let required = &platform.requirements.audio;
            let seconds = placed.track.duration_s;
            let more = audio::objections(&probed.properties, accepted, required, seconds);
            let found = {
                // Closed by nobody.
                let _turn = readers.acquire().await.ok();
                inspect::inspect(assets, &meta, probed.content).await?
            };
            let objections = probed.objections.into_iter().chain(more);
            findings.add_objections(&field, path, objections.chain(audio::flawed(&found.flaws)));
            let checked = Checked {
                meta,
                found,
                properties: probed.properties,
            };
            Ok((Some(checked), findings))
        }
        Err(ProbeError::Unusable(objection)) => {
            findings.add_objections(&field, path, [objection]);
            Ok((None, findings))
        }
        Err(ProbeError::Fault(fault)) => Err(fault),
    }
}

async fn check_artwork(
    path: Option<&str>,
    platform: &Platform,
    assets: &AssetStore,
) -> Result<(Option<Checked<Cover>>, Findings), Fault> {
    let mut findings = Findings::default();
    let path = path.unwrap_or_default();
    if path.is_empty() {
        findings.add(
            "artwork",
            "is not set",
            "Upload the cover and set releases.artwork to its path in the asset store.",
        );
        return Ok((None, findings));
    }
    let required = &platform.requirements.artwork;
    let mut too_large = None;
    let found = async {
        let meta = find(path, assets).await?;
        if meta.size > required.max_bytes {
            too_large = Some(Objection::new(
                format!(
                    "has {} bytes, the platform takes {} at most",
                    meta.size, required.max_bytes
                ),
                "Export the cover with stronger compression.",
            ));
        }
        let cover = artwork::probe(&mut Reader::new(assets, &meta)).await?;
        Ok((meta, cover))
    };
    let found = found.await;
    findings.add_objections("artwork", path, too_large);
    match found {
        Ok((meta, properties)) => {
            let objections = artwork::objections(&properties, required);
            findings.add_objections("artwork", path, objections);
            let found = inspect::inspect(assets, &meta, Content::Opaque).await?;
            let checked = Checked {
                meta,
                found,
                properties,
            };
            Ok((Some(checked), findings))
        }
        Err(ProbeError::Unusable(objection)) => {
            findings.add_objections("artwork", path, [objection]);
            Ok((None, findings))
        }
        Err(ProbeError::Fault(fault)) => Err(fault),
    }
}

/// Looks for a file and refuses an empty one.
async fn find(path: &str, assets: &AssetStore) -> Result<ObjectMeta, ProbeError> {
    const UPLOAD: &str = "Upload the file to this path in the asset store, or correct the path.";
    let objection = match assets.find(path).await {
        Ok(meta) if meta.size > 0 => return Ok(meta),
        Ok(_) => Objection::new("is empty", UPLOAD),
        Err(NotFound::Missing) => Objection::new("is not in the asset store", UPLOAD),
        Err(NotFound::NotAFile) => Objection::new("is not a file", UPLOAD),
        Err(NotFound::Outside) => Objection::new(
            "leads out of the asset store",
            "Use a path below the asset store's root, with no leading slash, no empty parts, no \
             \"..\", no backslash, and no link to a place outside.",
        ),
        Err(NotFound::Unavailable(fault)) => return Err(fault.into()),
    };
    Err(objection.into())
}
