//! The description of the API is locked: a change of it is a change for whoever uses it.

use serde_json::json;

use super::harness::World;
use crate::http::document;

#[test]
fn the_description_is_as_it_was_agreed() {
    insta::assert_json_snapshot!("openapi", document());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_described_is_what_is_answered() {
    let world = World::new().await;
    let answer = world.get("", "/api/v1/openapi.json").await.expect(200);
    assert_eq!(answer.json(), serde_json::to_value(document()).unwrap());
    assert_eq!(answer.json()["openapi"], "3.1.0");
    let live = world.get("", "/health/live").await.expect(200);
    assert_eq!(live.json(), json!({"status": "live"}));
    let ready = world.get("", "/health/ready").await.expect(200);
    assert_eq!(ready.json(), json!({"status": "ready"}));
    let metrics = world.get("", "/metrics").await.expect(200).body;
    assert!(metrics.contains("tunemantra_database_up 1"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let nothing = world.get("", "/api/v1/nothing").await.expect(404);
    assert_eq!(nothing.problem(), "not-found");
    let put = super::harness::request("PUT", "/api/v1/platforms", "");
    let put = world
        .send(put.body(axum::body::Body::empty()).unwrap())
        .await;
    assert_eq!(put.expect(405).problem(), "method-not-allowed");
}
