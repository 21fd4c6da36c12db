//! What `wavegate dag` prints of a small fleet, and what it refuses.

use std::fs;

use clap::Parser as _;
use tempfile::TempDir;

use crate::cli::Cli;
use crate::exit::{ExitReason, Failure};

const FLEET: &str = r#"
[fleet]
name = "demo"
[channels.stable]
rollout_policy = "test"
[rollout_policies.test]
waves = [ { name = "all", hosts = "all", soak = "1s" } ]
[hosts.db-1]
channel = "stable"
bundle = "db.toml"
[hosts.web-1]
channel = "stable"
bundle = "web.toml"
[hosts.web-2]
channel = "stable"
bundle = "other.toml"
[[edges]]
before = { hosts = ["web-1"] }
after = { hosts = ["web-2"] }
reason = "one after the other"
"#;

const DB: &str = r#"
[[resources]]
id = "schema"
kind = "file"
path = "/schema"
content = "1"
one_way = true
depends_on = ["data"]
[[resources]]
id = "data"
kind = "directory"
path = "/data"
"#;

const WEB: &str = r#"
[[resources]]
id = "app"
kind = "file"
path = "/app"
content = "1"
depends_on = [{ host = "db-1", resource = "schema" }]
"#;

fn fleet(db: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let other = "[[resources]]\nid = \"x\"\nkind = \"file\"\npath = \"/x\"\ncontent = \"1\"\n";
    for (name, text) in
        [("fleet.toml", FLEET), ("db.toml", db), ("web.toml", WEB), ("other.toml", other)]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn dag(folder: &TempDir, args: &[&str]) -> Result<String, Failure> {
    let file = folder.path().join("fleet.toml").display().to_string();
    let (verb, rest) = args.split_first().unwrap();
    let all = [&["wavegate", "dag", *verb, file.as_str()], rest].concat();
    let mut out = Vec::new();
    Cli::try_parse_from(all).unwrap().run(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_person_reads_it_in_the_order_in_which_things_start() {
    insta::assert_snapshot!(dag(&fleet(DB), &["show"]).unwrap(), @r"
    db-1 (stable, wave 0)
      data    directory
      schema  file          after data  one way

    web-1 (stable, wave 0)
      app  file          after db-1/schema

    web-2 (stable, wave 0), after web-1
      x  file
    ");
}

#[test]
fn other_programs_read_it_as_json_dot_and_mermaid() {
    let folder = fleet(DB);
    let json = dag(&folder, &["export"]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["hosts"][0]["resources"][1]["needs"], serde_json::json!(["data"]));
    assert_eq!(
        json["hosts"][1]["resources"][0]["needs_elsewhere"],
        serde_json::json!([{"host": "db-1", "resource": "schema"}])
    );
    insta::assert_snapshot!(dag(&folder, &["export", "--format", "dot", "--host", "web-1"]).unwrap(), @r#"
    digraph wavegate {
      rankdir=LR;
      compound=true;
      node [shape=box];
      subgraph "cluster_web-1" {
        label="web-1";
        "web-1" [shape=point];
        "web-1/app" [label="app\nfile"];
      }
      "db-1" [shape=point, xlabel="db-1"];
      "db-1/schema" [style=dashed];
      "db-1/schema" -> "web-1/app";
    }
    "#);
    insta::assert_snapshot!(dag(&folder, &["export", "--format", "mermaid"]).unwrap(), @r#"
    flowchart LR
      subgraph h0["db-1"]
        n0["data<br/>directory"]
        n1["schema<br/>file"]
      end
      subgraph h1["web-1"]
        n2["app<br/>file"]
      end
      subgraph h2["web-2"]
        n3["x<br/>file"]
      end
      n0 --> n1
      n1 --> n2
      h1 -.-> h2
    "#);
}

#[test]
fn a_cycle_across_hosts_is_refused_and_named() {
    assert_eq!(
        dag(&fleet(DB), &["validate"]).unwrap(),
        "all waiting can end: 3 hosts, 4 resources, 1 dependencies, 1 across hosts, 1 host edges\n"
    );
    let circle = DB.replace("[\"data\"]", "[{ host = \"web-1\", resource = \"app\" }]");
    let failure = dag(&fleet(&circle), &["validate"]).unwrap_err();
    assert_eq!(failure.reason, ExitReason::Usage);
    assert!(failure.message.contains("cycle: db-1/schema, web-1/app"), "{}", failure.message);
    let failure = dag(&fleet(DB), &["show", "--host", "nobody"]).unwrap_err();
    assert_eq!(failure.reason, ExitReason::Usage);
}
