//! Acknowledgements: what a partner writes is read with care, and what the sandbox writes is valid.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use chrono::{TimeZone, Utc};
use platform_adapters::{
    Wanted,
    ddex::{
        Acknowledgement, CHOREOGRAPHY_16, FileStatus, MAX_ACKNOWLEDGEMENT_BYTES, Meaning,
        ProposedAction, Refused, SupplyChainStatus, Verdict,
    },
};

use super::schemas::{assert_valid, schemas};

fn acknowledgement(status: FileStatus) -> Acknowledgement {
    Acknowledgement {
        sender: "PADPIDA2009101501Y".into(),
        recipient: "PADPIDA2014120301C".into(),
        created_at: Utc.timestamp_opt(1_764_003_600, 0).unwrap(),
        release_id: Some("0036000291452".into()),
        date: Some("2025-11-24".into()),
        message_id: None,
        status: Some(status),
        supply_chain: None,
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
fn altered(from: &str, to: &str) -> Result<Vec<Acknowledgement>, Refused> {
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
        assert_eq!(Acknowledgement::read(&xml).unwrap(), [written]);
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

/// An acknowledgement of the newer kind, with these parts of the release's status.
fn newer(root: &str, version: &str, release: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><a:{root} xmlns:a=\"http://ddex.net/xml/ern-c-sftp/{version}\" \
         AvsVersionId=\"4\"><MessageHeader><MessageId>A1</MessageId><MessageSender><PartyId>\
         PADPIDA2009101501Y</PartyId></MessageSender><MessageRecipient><PartyId>PADPIDA2014120301C\
         </PartyId></MessageRecipient><MessageCreatedDateTime>2025-11-24T17:00:00Z\
         </MessageCreatedDateTime></MessageHeader>{release}</a:{root}>"
    )
}

fn of_release(status: &str, rest: &str) -> String {
    format!(
        "<ReleaseStatus><ReleaseId><ICPN>0036000291452</ICPN></ReleaseId>\
         <ReleaseStatus>{status}</ReleaseStatus>{rest}</ReleaseStatus>"
    )
}

fn of_message(id: &str, status: &str) -> String {
    format!(
        "<Acknowledgement><MessageType>NewReleaseMessage</MessageType><MessageId>{id}</MessageId>\
         <MessageStatus><Status>{status}</Status><Information>so it is</Information></MessageStatus>\
         </Acknowledgement>"
    )
}

#[test]
fn newer_acknowledgements_are_told_by_their_namespace() {
    for (root, version) in [
        ("ErnAcknowledgementStatusMessage", "17"),
        ("AcknowledgementMessage", "18"),
    ] {
        let taken = "SuccessfullyIngestedByReleaseDistributor";
        let xml = newer(
            root,
            version,
            &of_release(taken, &of_message("m-r1-t1", "FileOK")),
        );
        let read = Acknowledgement::read(xml.as_bytes()).unwrap();
        let [said] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(said.message_id.as_deref(), Some("m-r1-t1"));
        assert_eq!(said.release_id.as_deref(), Some("0036000291452"));
        assert_eq!(said.verdict(), Verdict::Accepted);
        assert_eq!(said.reason(), format!("FileOK and {taken}: so it is"));

        let two = of_message("m-r1-t1", "FileOK") + &of_message("n-r1-t1", "ResourceMissing");
        let xml = newer(root, version, &two);
        let read = Acknowledgement::read(xml.as_bytes()).unwrap();
        let verdicts: Vec<_> = read.iter().map(Acknowledgement::verdict).collect();
        assert_eq!(verdicts, [Verdict::Accepted, Verdict::Rejected]);
    }
    let nothing = newer("AcknowledgementMessage", "18", "");
    assert!(matches!(
        Acknowledgement::read(nothing.as_bytes()),
        Err(Refused::Unexpected(_))
    ));
}

#[test]
fn every_word_has_its_meaning() {
    for status in FileStatus::ALL {
        let is_ok = *status == FileStatus::FileOk;
        assert_eq!(status.meaning() == Meaning::Accepted, is_ok, "{status}");
        assert_ne!(status.meaning(), Meaning::Pending, "{status}");
        let verdict = acknowledgement(*status).verdict();
        assert_eq!(verdict == Verdict::Accepted, is_ok, "{status}");
    }
    for status in SupplyChainStatus::ALL {
        let xml = newer(
            "AcknowledgementMessage",
            "18",
            &of_release(status.as_str(), ""),
        );
        let read = Acknowledgement::read(xml.as_bytes()).unwrap();
        let expected = match status.meaning() {
            Meaning::Pending => Verdict::Pending,
            Meaning::Accepted => Verdict::Accepted,
            Meaning::Rejected => Verdict::Rejected,
        };
        assert_eq!(read[0].verdict(), expected, "{status}");
    }
}

#[test]
fn what_is_proposed_decides_whether_it_is_sent_again() {
    for (action, check, verdict) in [
        (None, false, Verdict::Rejected),
        (Some(ProposedAction::ResendXmlOnly), false, Verdict::Resend),
        (
            Some(ProposedAction::ResendXmlAndResources),
            false,
            Verdict::Resend,
        ),
        (
            Some(ProposedAction::ResendXmlAndResources),
            true,
            Verdict::Rejected,
        ),
        (
            Some(ProposedAction::DoNotResendRelease),
            false,
            Verdict::Rejected,
        ),
        (
            Some(ProposedAction::DoNotResendAffectedResource),
            false,
            Verdict::Rejected,
        ),
    ] {
        let said = Acknowledgement {
            proposed_action: action,
            manual_check_required: check,
            ..acknowledgement(FileStatus::ResourceCorrupt)
        };
        assert_eq!(said.verdict(), verdict, "{action:?} {check}");
        let wanted = match action {
            Some(ProposedAction::ResendXmlOnly) => Wanted::MessageAlone,
            _ => Wanted::Everything,
        };
        assert_eq!(said.wanted(), wanted, "{action:?}");
    }
}

#[test]
fn contradictions_in_newer_acknowledgements_are_raised() {
    let taken = "SuccessfullyIngestedByReleaseDistributor";
    for (release, words) in [
        (
            of_release(taken, &of_message("m", "ResourceMissing")),
            "ResourceMissing and Succ",
        ),
        (of_release("Perhaps", ""), "Perhaps"),
        (of_release("UserDefined", ""), "UserDefined"),
        (of_release(taken, &of_message("m", "fine")), "\"fine\""),
        (
            of_release(
                taken,
                "<ProposedActionType>ResendXmlOnly</ProposedActionType>",
            ),
            "asks for a resend",
        ),
        (
            "<Acknowledgement><MessageId>m</MessageId></Acknowledgement>".into(),
            "MessageStatus",
        ),
    ] {
        let xml = newer("AcknowledgementMessage", "18", &release);
        let refused = Acknowledgement::read(xml.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains(words), "{words}: {refused}");
    }
}
