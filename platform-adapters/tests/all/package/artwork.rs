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
            ["is not an RGB picture (it is grey or CMYK)"]
        );
    }
}

#[tokio::test]
async fn other_kinds_of_file() {
    assert_eq!(said_of(b"GIF89a\0\0\0\0\0\0").await, ["is a GIF picture"]);
    assert_eq!(said_of(b"II*\0\x08\0\0\0").await, ["is a TIFF picture"]);
    assert_eq!(
        said_of(b"RIFF\0\0\0\0WEBPVP8 ").await,
        ["is a WebP picture"]
    );
    assert_eq!(said_of(b"<svg>").await, ["is neither JPEG nor PNG"]);
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
