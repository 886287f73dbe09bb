//! Acknowledgements: what a partner writes is read with care, and what the sandbox writes is valid.
#![allow(clippy::unwrap_used)]

use chrono::{TimeZone, Utc};
use platform_adapters::ddex::{
    Acknowledgement, CHOREOGRAPHY_16, FileStatus, MAX_ACKNOWLEDGEMENT_BYTES, ProposedAction,
    Refused,
};

use super::schemas::{assert_valid, schemas};

fn acknowledgement(status: FileStatus) -> Acknowledgement {
    Acknowledgement {
        sender: "PADPIDA2009101501Y".into(),
        recipient: "PADPIDA2014120301C".into(),
        created_at: Utc.timestamp_opt(1_764_003_600, 0).unwrap(),
        release_id: Some("0036000291452".into()),
        date: Some("2025-11-24".into()),
        status,
        error_text: None,
        proposed_action: None,
        manual_check_required: false,
        affected_isrcs: Vec::new(),
    }
}

fn rejection() -> Acknowledgement {
    Acknowledgement {
        error_text: Some("prüfsumme <falsch> & \"weg\"".into()),
        proposed_action: Some(ProposedAction::ResendXmlAndResources),
        manual_check_required: true,
        affected_isrcs: vec!["DEA1B2500101".into(), "DEA1B2500102".into()],
        ..acknowledgement(FileStatus::SignatureOrHashSumWrongOrMissing)
    }
}

fn text(acknowledgement: &Acknowledgement) -> String {
    String::from_utf8(acknowledgement.to_xml().unwrap()).unwrap()
}

/// The acceptance with a part of it replaced.
fn altered(from: &str, to: &str) -> Result<Acknowledgement, Refused> {
    let accepted = text(&acknowledgement(FileStatus::FileOk));
    assert!(accepted.contains(from), "{from} is not in {accepted}");
    Acknowledgement::read(accepted.replace(from, to).as_bytes())
}

#[tokio::test]
async fn what_is_written_is_valid_and_reads_back() {
    let schemas = schemas("what_is_written_is_valid_and_reads_back");
    let all = FileStatus::ALL
        .iter()
        .map(|status| acknowledgement(*status));
    for written in all.chain([rejection()]) {
        let xml = written.to_xml().unwrap();
        assert_eq!(Acknowledgement::read(&xml).unwrap(), written);
        if let Some(schemas) = &schemas {
            assert_valid(schemas, CHOREOGRAPHY_16, "ACK.xml", &xml).await;
        }
    }
}

#[test]
fn a_rejection_says_all_that_the_partner_said() {
    assert_eq!(
        rejection().reason(),
        "SignatureOrHashSumWrongOrMissing: prüfsumme <falsch> & \"weg\"; concerns DEA1B2500101, \
         DEA1B2500102; the partner proposes ResendXmlAndResources; the partner asks that somebody \
         look first"
    );
    assert_eq!(
        rejection().file_name("abc-r1-t1"),
        "ACK_abc-r1-t1_20251124170000000.xml"
    );
}

#[test]
fn words_that_ddex_does_not_define_are_never_success() {
    for (from, to) in [
        (">FileOK<", ">AllGood<"),
        (">FileOK<", "><"),
        (">FileOK<", ">fileok<"),
        (
            "<FileStatus>FileOK<",
            "<FileStatus Namespace=\"PADPIDA2009101501Y\" UserDefinedValue=\"FileOK\">UserDefined<",
        ),
        (
            "</FileStatus>",
            "</FileStatus><ProposedActionType>UserDefined</ProposedActionType>",
        ),
        (
            "</FileStatus>",
            "</FileStatus><ProposedActionType>ResendXmlOnly</ProposedActionType>",
        ),
        (
            "</FileStatus>",
            "</FileStatus><ManualCheckRequired>true</ManualCheckRequired>",
        ),
        (
            "</FileStatus>",
            "</FileStatus><ManualCheckRequired>maybe</ManualCheckRequired>",
        ),
        ("ern-c-sftp/16", "ern-c-sftp/99"),
        ("FtpAcknowledgementMessage", "ManifestMessage"),
        ("<FileStatus>FileOK</FileStatus>", ""),
    ] {
        let refused = altered(from, to).unwrap_err();
        assert!(
            matches!(refused, Refused::Unexpected(_)),
            "{to}: {refused:?}"
        );
    }
}

#[test]
fn hostile_documents_are_refused() {
    let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let bomb = format!(
        "{declaration}<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">]>"
    );
    assert_eq!(altered(declaration, &bomb), Err(Refused::Doctype));
    let file = format!("{declaration}<!DOCTYPE a SYSTEM \"file:///etc/passwd\">");
    assert_eq!(altered(declaration, &file), Err(Refused::Doctype));
    assert_eq!(
        altered(">FileOK<", ">&ok;<"),
        Err(Refused::Entity("ok".into()))
    );
    let deep = format!("{}{}</FileStatus>", "<x>".repeat(5000), "</x>".repeat(5000));
    assert_eq!(altered("</FileStatus>", &deep), Err(Refused::TooDeep));
    let large = format!("<!--{}-->", "x".repeat(MAX_ACKNOWLEDGEMENT_BYTES));
    assert_eq!(
        altered("</FileStatus>", &format!("</FileStatus>{large}")),
        Err(Refused::TooLarge(MAX_ACKNOWLEDGEMENT_BYTES))
    );
    let wide: String = (0..5000).map(|at| format!(" a{at}=\"\"")).collect();
    assert_eq!(
        altered("<FileStatus>", &format!("<FileStatus{wide}>")),
        Err(Refused::TooMany)
    );
    assert!(matches!(
        Acknowledgement::read(b"<\xff\xfe/>"),
        Err(Refused::Malformed(_))
    ));
}

#[test]
fn an_acknowledgement_that_is_still_being_written_is_not_read() {
    let xml = acknowledgement(FileStatus::FileOk).to_xml().unwrap();
    let end = xml.len() - 1;
    assert_eq!(xml.get(end), Some(&b'\n'));
    for length in 0..end {
        let refused = Acknowledgement::read(&xml[..length]).unwrap_err();
        assert!(
            matches!(refused, Refused::Malformed(_)),
            "{length}: {refused:?}"
        );
    }
    assert!(Acknowledgement::read(&xml[..end]).is_ok());
    let twice = [xml.as_slice(), xml.as_slice()].concat();
    assert!(matches!(
        Acknowledgement::read(&twice),
        Err(Refused::Malformed(_))
    ));
}

#[test]
fn a_refusal_never_repeats_too_much() {
    let refused = altered(">FileOK<", &format!(">{}<", "x".repeat(100_000))).unwrap_err();
    assert!(refused.to_string().len() < 400);
}
