//! What the provider of a host says, told with the wrong certificate or the wrong words; and told well, over
//! a kill and a rebuild of the database.

use reqwest::Method;
use serde_json::{Value, json};
use wavegate_tests::processes::program::program;

use crate::requests::{answer, client, refusal_of};
use crate::yard::{Yard, refusal};

const PATH: &str = "/v1/hosts/host-01/provider";

fn document(yard: &Yard) -> Value {
    serde_json::from_str(&yard.ok(&["host", "show", "host-01", "--json"])).unwrap()
}

fn rows(yard: &Yard) -> usize {
    yard.ok(&["events", "--kind", "provider_changed", "--json"]).lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_says_is_taken_of_operators_only_and_only_well_formed() {
    let (yard, _agents) = Yard::with_release();
    let before = (yard.picture(), document(&yard)["provider"].clone(), rows(&yard));
    let put = async |certificate: &str, path: &str, body: Vec<u8>| {
        let request =
            client(&yard, certificate).request(Method::PUT, format!("{}{path}", yard.url));
        let request = request.header("content-type", "application/json").body(body);
        refusal_of(request.send().await.unwrap()).await
    };
    let good = json!({ "provider_id": "i-0abc", "provider_state": "off" }).to_string().into_bytes();
    for certificate in ["host-host-01", "host-host-02", "viewer-read"] {
        let refused = put(certificate, PATH, good.clone()).await;
        assert_eq!(refused, answer(403, "role-forbidden"), "{certificate}");
    }
    let as_viewer = ["host", "sync", "host-01", "--provider-state", "off"];
    refusal(&yard.wavegate_as("viewer-read", &as_viewer), 1, "[role-forbidden]");

    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    for (body, status, code) in [
        ("", 400, "bad-json"),
        ("{}", 400, "bad-json"),
        ("{\"provider_state\":\"off\"", 400, "bad-json"),
        ("{\"provider_state\":\"asleep\"}", 400, "bad-json"),
        ("{\"provider_state\":null}", 400, "bad-json"),
        ("{\"provider_state\":\"off\",\"provider_state\":\"running\"}", 400, "bad-json"),
        ("{\"provider_state\":\"off\",\"provider_id\":\"\"}", 400, "bad-json"),
        ("{\"provider_state\":\"off\",\"provider_id\":\"a b\"}", 400, "bad-json"),
        ("{\"provider_state\":\"off\",\"provider_id\":\"a\\u001b[2J\"}", 400, "bad-json"),
        ("{\"provider_state\":\"off\",\"provider_id\":7}", 400, "bad-json"),
        (&deep, 400, "bad-json"),
    ] {
        let refused = put("operator-admin", PATH, body.as_bytes().to_vec()).await;
        assert_eq!(refused, answer(status, code), "{body}");
    }
    let long = json!({ "provider_id": "i".repeat(257), "provider_state": "off" }).to_string();
    let refused = put("operator-admin", PATH, long.into_bytes()).await;
    assert_eq!(refused, answer(400, "bad-json"));
    let refused = put("operator-admin", PATH, vec![b' '; 16 * 1024 + 1]).await;
    assert_eq!(refused, answer(413, "too-large"));
    let nobody = put("operator-admin", "/v1/hosts/host-09/provider", good.clone()).await;
    assert_eq!(nobody, answer(404, "unknown-host"));
    let no_name = put("operator-admin", "/v1/hosts/Host_1/provider", good).await;
    assert_eq!(no_name, answer(400, "bad-request"));
    yard.refused(&["host", "sync", "host-09", "--provider-state", "off"], 1, "[unknown-host]");
    assert_eq!((yard.picture(), document(&yard)["provider"].clone(), rows(&yard)), before);
}

/// D6 among it: what is told again and again is one row.
#[test]
fn what_a_provider_says_outlives_a_kill_and_a_rebuild_gives_it_again() {
    let (mut yard, _agents) = Yard::with_release();
    let shown = yard.ok(&["host", "show", "host-01"]);
    assert!(shown.contains("provider   -\n"), "{shown}");
    let fleet = yard.path("fleet.toml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    let text = text.replace("[hosts.host-01]\n", "[hosts.host-01]\nprovider_id = \"i-0abc\"\n");
    std::fs::write(&fleet, text).unwrap();
    let sync = ["host", "sync", "host-01", "--provider-state", "running", "--fleet", "fleet.toml"];
    let told = yard.ok(&sync);
    assert!(told.starts_with("provider of host-01: running (i-0abc) since "), "{told}");
    assert!(told.ends_with(" by operator/admin\n"), "{told}");
    let off = ["host", "sync", "host-01", "--provider-state", "off"];
    for _ in 0..3 {
        yard.ok(&off);
    }
    assert_eq!(rows(&yard), 2, "running, and off once");
    let before = document(&yard);
    assert_eq!(before["provider"]["provider_id"], "i-0abc");
    assert_eq!(before["provider"]["provider_state"], "off");
    assert_eq!(before["state"], "converged", "and the host goes on as it was");
    yard.refused(&["host", "sync", "host-02", "--provider-state", "gone"], 2, "running, off or");
    let none = ["host", "sync", "host-02", "--provider-state", "off", "--fleet", "fleet.toml"];
    yard.refused(&none, 2, "host host-02 has no provider_id");

    let rebuild = ["rebuild", "--state-dir", "state/control-plane", "--into", "again.db"];
    let rebuilt = program("wavegate-cp").args(rebuild).current_dir(yard.path("")).output().unwrap();
    let said = String::from_utf8_lossy(&rebuilt.stdout);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert!(said.contains("providers: 1 rows, the same"), "{said}");
    yard.kill_and_restart_control_plane();
    assert_eq!(document(&yard)["provider"], before["provider"], "the time of the last sync too");
}
