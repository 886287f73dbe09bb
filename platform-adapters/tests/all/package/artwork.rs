//! What the check says about the cover.

use image::ImageFormat;
use platform_adapters::release::{Release, ReleaseType};
use proptest::prelude::*;

use super::{findings_for, problems, words};
use crate::fixtures::{self, Fixture, image, jpeg_3000};

fn with_cover(fixture: &Fixture, bytes: &[u8]) -> Release {
    let mut release = fixture.release(ReleaseType::Single, 1);
    // The name says nothing: the format is told by content.
    fixture.write("cover.gif", bytes);
    release.artwork = Some("cover.gif".into());
    release
}

async fn said_of(bytes: &[u8]) -> Vec<String> {
    let fixture = Fixture::new();
    let release = with_cover(&fixture, bytes);
    problems(&fixture, &release)
        .await
        .into_iter()
        .map(|problem| {
            let said = problem.strip_prefix("artwork: \"cover.gif\" ");
            said.unwrap_or(&problem).to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_png_is_as_good_and_named_by_its_content() {
    let fixture = Fixture::new();
    let release = with_cover(&fixture, &image(3000, 3000, ImageFormat::Png));
    let package = fixture.package(&release).await;
    let file = package.artwork.unwrap().file;
    assert_eq!(file.name, format!("{}.png", package.upc));
    assert_eq!(file.media_type, "image/png");
}

#[tokio::test]
async fn too_small_or_not_square() {
    assert_eq!(
        said_of(&image(640, 480, ImageFormat::Jpeg)).await,
        [
            "is 640 × 480 pixels, it must be square",
            "is 640 × 480 pixels, at least 3000 × 3000 are needed",
        ]
    );
}

#[tokio::test]
async fn truncated() {
    let missing = "is truncated: the end of the picture is missing";
    let jpeg = jpeg_3000();
    assert_eq!(said_of(&jpeg[..jpeg.len() - 1]).await, [missing]);
    assert_eq!(said_of(&jpeg[..jpeg.len() / 2]).await, [missing]);
    assert_eq!(said_of(&jpeg[..100]).await, ["is truncated"]);
    let png = image(3000, 3000, ImageFormat::Png);
    assert_eq!(said_of(&png[..png.len() - 1]).await, [missing]);
    assert_eq!(said_of(&png[..20]).await, ["is truncated"]);
}

#[tokio::test]
async fn padding_after_a_jpeg_does_no_harm() {
    let mut padded = jpeg_3000().to_vec();
    padded.extend_from_slice(b"\0\0\r\n");
    assert_eq!(said_of(&padded).await, [""; 0]);
}

#[tokio::test]
async fn without_colour() {
    let grey = image::DynamicImage::new_luma8(3000, 3000);
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        grey.write_to(&mut bytes, format).unwrap();
        assert_eq!(
            said_of(bytes.get_ref()).await,
            ["has colours that are grey, the platform takes rgb only"]
        );
    }
}

/// Four channels, as a printer wants them.
#[tokio::test]
async fn cmyk() {
    let mut jpeg = jpeg_3000().to_vec();
    let frame = jpeg
        .windows(2)
        .position(|window| window == [0xFF, 0xC0])
        .unwrap();
    jpeg[frame + 9] = 4;
    assert_eq!(
        said_of(&jpeg).await,
        ["has colours that are cmyk, the platform takes rgb only"]
    );
}

#[tokio::test]
async fn a_picture_that_is_to_be_turned() {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0");
    let mut jpeg = jpeg_3000()[..2].to_vec();
    jpeg.extend_from_slice(&[0xFF, 0xE1]);
    jpeg.extend_from_slice(&u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    jpeg.extend_from_slice(&exif);
    jpeg.extend_from_slice(&jpeg_3000()[2..]);
    assert_eq!(
        said_of(&jpeg).await,
        ["carries an orientation tag (6): who does not heed it shows it turned or mirrored"]
    );
}

/// A TIFF of one strip, uncompressed.
fn tiff(width: u32, height: u32, photometric: u16) -> Vec<u8> {
    let strip = width * height * 3;
    let entries = [
        (256, 4, width),
        (257, 4, height),
        (262, 3, u32::from(photometric)),
        (273, 4, 8),
        (277, 3, 3),
        (278, 4, height),
        (279, 4, strip),
    ];
    let mut bytes = b"II*\0".to_vec();
    bytes.extend((8 + strip).to_le_bytes());
    bytes.resize(8 + strip as usize, 7);
    bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (tag, kind, value) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(kind));
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    bytes
}

#[tokio::test]
async fn tiff_where_the_platform_takes_it() {
    assert_eq!(
        said_of(&tiff(150, 150, 2)).await,
        [
            "is tiff, the platform takes jpeg, png only",
            "is 150 × 150 pixels, at least 3000 × 3000 are needed"
        ]
    );
    let fixture = Fixture::new();
    let mut platform = fixtures::platform();
    platform.requirements.artwork.formats = vec!["tiff".into()];
    platform.requirements.artwork.min_px = 100;
    platform.requirements.artwork.max_px = 200;
    let said = async |bytes: &[u8]| {
        let release = with_cover(&fixture, bytes);
        words(findings_for(&fixture, &release, &platform).await)
    };
    let good = tiff(150, 150, 2);
    assert_eq!(said(&good).await, [""; 0]);
    let wrong = said(&tiff(300, 300, 5)).await.join("; ");
    assert!(wrong.contains("at most 200 × 200"), "{wrong}");
    assert!(wrong.contains("cmyk"), "{wrong}");
    // The strip of this one is said to be longer than the file.
    let mut cut = good.clone();
    let counts = cut.len() - 4 - 4;
    cut[counts + 1] = 0xFF;
    let wrong = said(&cut).await.join("; ");
    assert!(wrong.contains("is truncated: the end"), "{wrong}");
}

#[tokio::test]
async fn other_kinds_of_file() {
    assert_eq!(said_of(b"GIF89a\0\0\0\0\0\0").await, ["is a GIF picture"]);
    assert_eq!(said_of(b"II*\0\x08\0\0\0").await, ["is truncated"]);
    assert_eq!(
        said_of(b"RIFF\0\0\0\0WEBPVP8 ").await,
        ["is a WebP picture"]
    );
    assert_eq!(
        said_of(b"<svg>").await,
        ["is neither JPEG nor PNG nor TIFF"]
    );
}

#[tokio::test]
async fn the_platform_has_a_say() {
    let fixture = Fixture::new();
    let png = image(500, 500, ImageFormat::Png);
    let release = with_cover(&fixture, &png);
    let mut platform = fixtures::platform();
    platform.requirements.artwork.formats = vec!["JPEG".into()];
    platform.requirements.artwork.min_px = 500;
    platform.requirements.artwork.max_bytes = 1000;
    assert_eq!(
        words(findings_for(&fixture, &release, &platform).await),
        [
            format!(
                "artwork: \"cover.gif\" has {} bytes, the platform takes 1000 at most",
                png.len()
            ),
            "artwork: \"cover.gif\" is png, the platform takes JPEG only".into(),
        ]
    );
    platform.requirements.artwork.formats = vec!["jpg".into()];
    platform.requirements.artwork.max_bytes = 100_000;
    let release = with_cover(&fixture, &image(500, 500, ImageFormat::Jpeg));
    assert_eq!(
        words(findings_for(&fixture, &release, &platform).await),
        [""; 0]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_panic(
        start in prop::sample::select(vec![&b""[..], b"\xFF\xD8\xFF", b"\xFF\xD8\xFF\xC0",
            b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start, &rest].concat();
        tokio::runtime::Runtime::new().unwrap().block_on(said_of(&bytes));
    }
}
