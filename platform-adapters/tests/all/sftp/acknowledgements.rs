//! The partner's word, as files in its folder.

use std::fs;

use platform_adapters::{
    Adapter, Code, Fault, Handover, Located, Receipt, Status, release::ReleaseType,
};
use serde_json::{Value, json};

use super::partner::{Partner, handover, layout};
use crate::fixtures::Fixture;

struct Delivered {
    partner: Partner,
    adapter: platform_adapters::sftp::SftpAdapter,
    handover: Handover,
    receipt: Receipt,
    package: platform_adapters::package::Package,
    _fixture: Fixture,
}

impl Delivered {
    async fn new() -> Self {
        let (partner, fixture) = (Partner::start().await, Fixture::new());
        let platform = partner.platform(json!({}), json!({"confirmation": "folder"}));
        let adapter =
            platform_adapters::sftp::SftpAdapter::new(&platform, fixture.assets.clone()).unwrap();
        let package = fixture
            .package(&fixture.release(ReleaseType::Single, 1))
            .await;
        let receipt = adapter.deliver(&handover(1), &package).await.unwrap();
        Self {
            partner,
            adapter,
            handover: handover(1),
            receipt,
            package,
            _fixture: fixture,
        }
    }

    async fn says(&self, body: &[u8]) -> Result<Status, Fault> {
        let path = layout(&self.handover, &self.package).acknowledgement;
        let path = self.partner.incoming().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, body).unwrap();
        self.adapter.status(&self.handover, &self.receipt).await
    }

    async fn says_json(&self, body: Value) -> Result<Status, Fault> {
        self.says(&serde_json::to_vec(&body).unwrap()).await
    }
}

#[tokio::test]
async fn the_partners_word_decides() {
    let delivered = Delivered::new().await;
    assert!(!delivered.receipt.is_final);
    let key = delivered.handover.key();
    let silent = delivered
        .adapter
        .status(&delivered.handover, &delivered.receipt)
        .await
        .unwrap();
    assert_eq!(silent, Status::Pending("no acknowledgement yet".into()));

    let accepted = delivered
        .says_json(json!({
            "delivery": key, "status": "accepted", "release_id": "NL-4711",
            "url": "https://nordlys.example/release/4711", "seen_by": "Kari",
        }))
        .await
        .unwrap();
    let Status::Accepted(receipt) = accepted else {
        panic!("{accepted:?}");
    };
    assert_eq!(receipt.partner_release_id.as_deref(), Some("NL-4711"));
    assert_eq!(
        receipt.url.as_deref(),
        Some("https://nordlys.example/release/4711")
    );
    assert_eq!(receipt.remote_path, delivered.receipt.remote_path);
    assert!(receipt.is_final);
    assert_eq!(receipt.evidence[0].name, format!("ACK_{key}.json"));

    let rejected = delivered
        .says_json(json!({"delivery": key, "status": "rejected", "reason": "Cover shows a URL."}))
        .await
        .unwrap();
    assert!(matches!(rejected, Status::Rejected { reason, evidence }
            if reason == "Cover shows a URL." && evidence.len() == 1));
}

#[tokio::test]
async fn what_is_not_understood_is_a_fault_and_kept() {
    let delivered = Delivered::new().await;
    let key = delivered.handover.key();
    let wrong = [
        json!({"delivery": key, "status": "probably"}),
        json!({"delivery": key, "status": "ACCEPTED"}),
        json!({"delivery": "another-r1-t1", "status": "accepted"}),
        json!({"delivery": key}),
        json!({"delivery": key, "status": "accepted", "url": "javascript:alert(1)"}),
        json!(["accepted"]),
    ];
    for body in wrong {
        let fault = delivered.says_json(body.clone()).await.unwrap_err();
        assert_eq!(fault.code, Code::PartnerError, "{body}");
        assert_eq!(fault.evidence.len(), 1, "{body}");
        assert!(fault.message.contains("is not understood"), "{fault}");
    }
    for body in [&b""[..], b"\xFF\xFE", b"{\"delivery\": "] {
        assert!(delivered.says(body).await.is_err());
    }
    let flood = vec![b' '; 1024 * 1024];
    let fault = delivered.says(&flood).await.unwrap_err();
    assert!(fault.message.contains("is larger than"), "{fault}");
}

#[tokio::test]
async fn a_hand_over_that_the_partner_has_taken_away_is_known_by_its_acknowledgement() {
    let delivered = Delivered::new().await;
    let key = delivered.handover.key();
    delivered
        .says_json(json!({"delivery": key, "status": "accepted"}))
        .await
        .unwrap();
    let layout = layout(&delivered.handover, &delivered.package);
    fs::remove_dir_all(delivered.partner.incoming().join(&layout.folder)).unwrap();
    let located = delivered
        .adapter
        .locate(&delivered.handover, &delivered.package)
        .await
        .unwrap();
    assert!(matches!(located, Located::Complete(_)));
    delivered
        .adapter
        .deliver(&delivered.handover, &delivered.package)
        .await
        .unwrap();
    assert!(!delivered.partner.incoming().join(&layout.folder).exists());
}
