//! Files that nobody should send.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{Import, file, gzip, reasons, rows, site};

const HEAD: &str = "date,isrc,streams,title\n";
const LINE: &str = "2026-05-04,DEA012600001,5,One\n";

#[tokio::test(flavor = "multi_thread")]
async fn odd_files_are_read_as_far_as_they_make_sense() {
    let line = LINE.as_bytes();
    let cases: [(&str, Vec<u8>, usize, usize); 8] = [
        ("byte order mark", [b"\xef\xbb\xbf", HEAD.as_bytes(), line].concat(), 1, 0),
        ("carriage returns", [HEAD.as_bytes(), line].concat().iter().flat_map(|b| match b {
            b'\n' => vec![b'\r', b'\n'],
            b => vec![*b],
        }).collect(), 1, 0),
        ("quotes", b"\"date\",\"isrc\",streams,title\n2026-05-04,\"DEA012600001\",\"5\",\"A \"\"line\"\"\nbreak, comma\"\n".to_vec(), 1, 0),
        ("Latin-1 in a column that is not read", [HEAD.as_bytes(), b"2026-05-04,DEA012600001,5,M\xfcll\n"].concat(), 1, 0),
        ("Latin-1 in one that is", [HEAD.as_bytes(), b"2026-05-04,D\xcfA012600001,5,x\n", line].concat(), 1, 1),
        ("NULs", [HEAD.as_bytes(), b"2026-05-04,DEA012600001\0,5,x\n2026-05-04,DEA012600001,5\0,\0\0\n"].concat(), 1, 1),
        ("bad numbers", [HEAD, "2026-05-04,DEA012600001,1e400,x\n2026-05-04,DEA012600001,--5,x\n2026-05-04,DEA012600001,0x10,x\n99999999999-05-04,DEA012600001,5,x\n"].concat().into_bytes(), 0, 4),
        ("too few columns, and too many", [HEAD, "2026-05-04\n\n2026-05-04,DEA012600001,5,x,y,z\n"].concat().into_bytes(), 1, 1),
    ];
    for (what, content, lines, aside) in cases {
        let site = site().await;
        let report = file(&content);
        let imported = Import::of(report.path()).run(&site).await;
        let imported = imported.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            (imported.lines as usize, imported.unmatched as usize),
            (lines, aside),
            "{what}"
        );
        assert!(
            reasons(&site)
                .await
                .iter()
                .all(|(_, reason)| reason == "unreadable"),
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_report_is_refused_whole() {
    let endless_quote = [
        HEAD,
        LINE,
        "2026-05-04,\"DEA012600001,5,x\n",
        &LINE.repeat(100_000),
    ]
    .concat();
    let endless_line = [HEAD, LINE, &"x".repeat(3 << 20)].concat();
    let mut broken = gzip([HEAD, &LINE.repeat(10_000)].concat());
    broken.truncate(broken.len() / 2);
    let mut corrupt = gzip([HEAD, &LINE.repeat(10_000)].concat());
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0xff;
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("nothing", Vec::new(), "it is empty"),
        (
            "no columns of ours",
            b"a,b\n1,2\n".to_vec(),
            "there is no column",
        ),
        ("UTF-16", b"\xff\xfed\0a\0t\0e\0".to_vec(), "iconv"),
        (
            "a quote that does not end",
            endless_quote.into_bytes(),
            "quote missing",
        ),
        (
            "a line that does not end",
            endless_line.into_bytes(),
            "quote missing",
        ),
        (
            "zeros without end, packed",
            gzip(vec![0; 4 << 20]),
            "quote missing",
        ),
        (
            "lines without end, packed",
            gzip([HEAD, &LINE.repeat(600_000)].concat()),
            "times as long",
        ),
        ("half a gzip", broken, "line"),
        ("a gzip with a fault", corrupt, "line"),
    ];
    let site = site().await;
    for (what, content, expected) in cases {
        let report = file(&content);
        let error = Import::of(report.path()).run(&site).await;
        let error = error.expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert!(rows(&site).await.is_empty(), "{what}");
    }
}

/// Whatever the bytes are: each record is imported or kept aside, and none is lost.
#[test]
fn no_line_is_lost() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let site = runtime.block_on(site());
    let field = prop_oneof![
        Just(b"2026-05-04".to_vec()),
        Just(b"DEA012600001".to_vec()),
        Just(b"5".to_vec()),
        prop::collection::vec(any::<u8>().prop_filter("no quote", |b| *b != b'"'), 0..12),
        "\"[^\"]{0,9}\"".prop_map(String::into_bytes),
    ];
    let line = prop::collection::vec(field, 1..6).prop_map(|fields| fields.join(&b','));
    let files = (any::<u64>(), prop::collection::vec(line, 0..30));
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&files, |(nonce, lines)| {
            // The nonce makes each content one of its own.
            let mut content = format!("date,isrc,streams,x{nonce}\n").into_bytes();
            content.extend(lines.join(&b'\n'));
            let report = file(&content);
            let imported = runtime
                .block_on(Import::of(report.path()).run(&site))
                .unwrap();
            let dealt_with = u64::try_from(imported.lines + imported.unmatched).unwrap();
            prop_assert_eq!(dealt_with, imported.records);
            let kept = usize::try_from(imported.unmatched).unwrap();
            let file = imported.file.unwrap();
            let found = runtime.block_on(reasons_of(&site, file));
            prop_assert_eq!(found, kept);
            Ok(())
        })
        .unwrap();
}

async fn reasons_of(site: &crate::statistics::site::Site, file: i32) -> usize {
    let filter = jobs::usage::UnmatchedFilter {
        file: Some(file),
        limit: 1000,
        ..Default::default()
    };
    jobs::usage::unmatched(site.pool(), &filter)
        .await
        .unwrap()
        .len()
}
