//! What each kind of resource takes and refuses, key by key and at its limits, and that every bundle is
//! written as it was read.
//!
//! Not here: what a whole bundle must be beyond its resources (see `Bundle::parse`).
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use serde_json::{Value, json};
use wavegate_proto::artifact::bundle::{Bundle, Holding, Resource, ResourceSpec};
use wavegate_proto::ids::BlobId;
use wavegate_proto::wire::resource::ResourceKind;

/// `keys` beside an id and a kind.
fn read(kind: &str, keys: &Value) -> Resource {
    let mut resource = json!({"id": "r", "kind": kind});
    for (key, value) in keys.as_object().unwrap() {
        resource[key] = value.clone();
    }
    serde_json::from_value(resource).unwrap()
}

/// Why the keys are not taken.
fn refusal(kind: &str, keys: &Value) -> Option<String> {
    match read(kind, keys).spec {
        ResourceSpec::Unknown { reason, .. } => Some(reason),
        ResourceSpec::File(_)
        | ResourceSpec::Directory(_)
        | ResourceSpec::User(_)
        | ResourceSpec::AccountGroup(_)
        | ResourceSpec::ResourceGroup(_)
        | ResourceSpec::ShellJob(_)
        | ResourceSpec::SystemdUnit(_)
        | ResourceSpec::Package(_)
        | ResourceSpec::Container(_)
        | ResourceSpec::NetworkConfig(_) => None,
    }
}

fn taken(kind: &str, all: &[Value]) {
    for keys in all {
        assert_eq!(refusal(kind, keys), None, "{kind}: {}", cut(keys));
        let resource = read(kind, keys);
        let written = serde_json::to_value(&resource).unwrap();
        let again: Resource = serde_json::from_value(written).unwrap();
        assert_eq!(again, resource, "it is written as it was read");
    }
}

/// Each with a part of the sentence that says why.
fn refused(kind: &str, all: &[(Value, &str)]) {
    for (keys, why) in all {
        let reason = refusal(kind, keys).unwrap_or_default();
        assert!(reason.contains(why), "{kind}: {}: {reason:?} does not say {why:?}", cut(keys));
    }
}

fn cut(keys: &Value) -> String {
    keys.to_string().chars().take(100).collect()
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("x{n}")).collect()
}

#[test]
fn accounts() {
    let name_of = |bytes: usize| "a".repeat(bytes);
    taken(
        "user",
        &[
            json!({"name": "a"}),
            json!({"name": "_a-1", "uid": 1, "gid": 0, "shell": "/bin/sh", "home": "/h"}),
            json!({"name": name_of(32), "uid": 4_294_967_293_u32, "groups": many(256)}),
        ],
    );
    refused(
        "user",
        &[
            (json!({"name": name_of(33)}), "must match"),
            (json!({"name": "1a"}), "must match"),
            (json!({"name": "aB"}), "must match"),
            (json!({"name": "a.b"}), "must match"),
            (json!({"name": "a", "uid": 4_294_967_294_u32}), "not usable"),
            (json!({"name": "a", "gid": 4_294_967_294_u32}), "not usable"),
            (json!({"name": "a", "uid": 0}), "root"),
            (json!({"name": "root"}), "root"),
            (json!({"name": "a", "groups": many(257)}), "more than 256"),
            (json!({"name": "a", "groups": ["B"]}), "must match"),
            (json!({"name": "a", "home": "/a:b"}), "colon"),
            (json!({"name": "a", "home": "/a\u{7}"}), "control"),
            (json!({"name": "a", "home": "h"}), "absolute"),
            (json!({"name": "a", "password": "x"}), "unknown field"),
        ],
    );
    taken("group", &[json!({"name": "www"}), json!({"name": "www", "gid": 4_294_967_293_u32})]);
    refused(
        "group",
        &[
            (json!({"name": "1"}), "must match"),
            (json!({"name": "www", "gid": 4_294_967_294_u32}), "not usable"),
            (json!({"name": "www", "gid": 0}), "root"),
            (json!({"name": "root"}), "root"),
        ],
    );
}

#[test]
fn groups_of_resources() {
    taken(
        "group",
        &[
            json!({"members": ["a"]}),
            json!({"members": ["a", "b"], "max_parallel": 1}),
            json!({"members": ["a", "b"], "max_parallel": 256}),
        ],
    );
    refused(
        "group",
        &[
            (json!({"members": []}), "empty"),
            (json!({"members": ["a", "a"]}), "a is there twice"),
            (json!({"members": ["a"], "max_parallel": 0}), "1 to 256"),
            (json!({"members": ["a"], "max_parallel": 257}), "1 to 256"),
        ],
    );
}

#[test]
fn files_and_directories() {
    let asset = BlobId::of(b"x");
    taken(
        "file",
        &[
            json!({"path": "/a", "content": "x".repeat(64 * 1024)}),
            json!({"path": "/a", "asset": asset, "size": 7}),
            json!({"path": "/a", "content_from": {"host_file": "/etc/secret"}}),
            json!({"path": format!("/{}", "a".repeat(4095)), "content": "", "mode": "7777"}),
        ],
    );
    refused(
        "file",
        &[
            (json!({"path": "/a", "content": "x".repeat(64 * 1024 + 1)}), "must be an asset"),
            (json!({"path": "/a"}), "needs either"),
            (json!({"path": "/a", "asset": asset}), "needs either"),
            (json!({"path": "/a", "content": "x", "asset": asset, "size": 1}), "needs either"),
            (json!({"path": "/a", "content": "x", "content_from": {"host_file": "/b"}}), "alone"),
            (json!({"path": "/a", "content_from": {"host_file": "b"}}), "absolute"),
            (json!({"path": format!("/{}", "a".repeat(4096)), "content": ""}), "too long"),
            (json!({"path": "a", "content": ""}), "absolute"),
            (json!({"path": "/a/../b", "content": ""}), ".."),
            (json!({"path": "/a", "content": "", "mode": "10000"}), "octal"),
            (json!({"path": "/a", "content": "", "mode": "44"}), "octal"),
            (json!({"path": "/a", "content": "", "mode": "000644"}), "octal"),
        ],
    );
    let mode = |keys: &Value| match read("file", keys).spec {
        ResourceSpec::File(file) => file.mode,
        other => panic!("{other:?}"),
    };
    assert_eq!(mode(&json!({"path": "/a", "content": ""})), "0644");
    let secret = json!({"path": "/a", "content_from": {"host_file": "/b"}});
    assert_eq!(mode(&secret), "0600", "what comes from a secret is one");
    taken("directory", &[json!({"path": "/a"}), json!({"path": "/a", "mode": "0700"})]);
    refused(
        "directory",
        &[(json!({"path": "a"}), "absolute"), (json!({"path": "/a", "mode": "x"}), "octal")],
    );
}

#[test]
fn packages() {
    let named = |name: &str| json!({"name": name});
    taken(
        "package",
        &[
            named(&"a".repeat(128)),
            named("g++"),
            json!({"name": "a", "version": "1".repeat(128), "hold": true}),
        ],
    );
    refused(
        "package",
        &[
            (named(&"a".repeat(129)), "no name"),
            (named("nginx+"), "no name"),
            (named("nginx-"), "no name"),
            (named("+a"), "no name"),
            (named("a_b"), "no name"),
            (json!({"name": "a", "version": "1".repeat(129)}), "no version"),
            (json!({"name": "a", "version": ".1"}), "no version"),
            (json!({"name": "a", "version": "1_2"}), "no version"),
        ],
    );
}

#[test]
fn shell_jobs() {
    let job = |edit: fn(&mut Value)| {
        let mut keys = json!({"argv": ["true"]});
        edit(&mut keys);
        keys
    };
    taken(
        "shell-job",
        &[
            job(|_| {}),
            job(|k| k["argv"] = json!(vec!["x"; 1024])),
            job(|k| k["env"] = many(1024).into_iter().map(|n| (n, json!(""))).collect()),
            job(|k| k["timeout_secs"] = json!(1)),
            job(|k| k["timeout_secs"] = json!(86_400)),
            job(|k| k["output_bytes"] = json!(1_048_576)),
        ],
    );
    refused(
        "shell-job",
        &[
            (job(|k| k["argv"] = json!([])), "argv is empty"),
            (job(|k| k["argv"] = json!([""])), "argv is empty"),
            (job(|k| k["argv"] = json!(vec!["x"; 1025])), "more than 1024"),
            (
                job(|k| k["env"] = many(1025).into_iter().map(|n| (n, json!(""))).collect()),
                "more than 1024",
            ),
            (job(|k| k["env"] = json!({"": "x"})), "no name"),
            (job(|k| k["env"] = json!({"A=B": "x"})), "no name"),
            (job(|k| k["env"] = json!({"A": "x\0"})), "NUL"),
            (job(|k| k["argv"] = json!(["true", "\0"])), "NUL"),
            (job(|k| k["timeout_secs"] = json!(0)), "1s to 24h"),
            (job(|k| k["timeout_secs"] = json!(86_401)), "1s to 24h"),
            (job(|k| k["output_bytes"] = json!(1_048_577)), "at most 1048576"),
        ],
    );
    let content = |keys: &Value| match read("shell-job", keys).spec {
        ResourceSpec::ShellJob(job) => (job.content(), job.timeout_secs, job.output_bytes),
        other => panic!("{other:?}"),
    };
    let plain = content(&job(|_| {}));
    assert_eq!((plain.1, plain.2), (300, 65_536), "the defaults");
    assert_eq!(content(&job(|k| k["timeout_secs"] = json!(9))).0, plain.0, "limits are no content");
    for other in [
        job(|k| k["argv"] = json!(["tru", "e"])),
        job(|k| k["env"] = json!({"A": "b"})),
        job(|k| k["argv"] = json!(["true", "A", "b"])),
    ] {
        assert_ne!(content(&other).0, plain.0, "{other}");
    }
    let as_arguments = content(&job(|k| k["argv"] = json!(["true", "A", "b"])));
    let as_variable = content(&job(|k| k["env"] = json!({"A": "b"})));
    assert_ne!(as_arguments.0, as_variable.0);
}

#[test]
fn systemd_units() {
    let long = |bytes: usize| format!("{}.service", "a".repeat(bytes - 8));
    let drop_ins = |count| -> Value {
        many(count).into_iter().map(|n| (format!("{n}.conf"), json!(""))).collect()
    };
    let drop_in = |name: &str| json!({"name": "a.service", "drop_ins": {name: ""}});
    let content = |own: usize, other: usize| {
        let drop_ins = json!({"x.conf": "x".repeat(other)});
        json!({"name": "a.service", "content": "x".repeat(own), "drop_ins": drop_ins})
    };
    taken(
        "systemd-unit",
        &[
            json!({"name": "a.service"}),
            json!({"name": long(255), "enabled": false, "state": "active", "restart_on": ["r2"]}),
            json!({"name": "a@.service", "content": "x"}),
            json!({"name": "a.timer", "state": "inactive"}),
            json!({"name": "a.service", "drop_ins": drop_ins(64)}),
            drop_in(&format!("{}.conf", "a".repeat(123))),
            content(65_535, 1),
        ],
    );
    refused(
        "systemd-unit",
        &[
            (json!({"name": long(256)}), "no name"),
            (json!({"name": "a b.service"}), "no name"),
            (json!({"name": ".a.service"}), "no name"),
            (json!({"name": "a@.service", "state": "active"}), "template"),
            (json!({"name": "a@.service", "enabled": true}), "template"),
            (json!({"name": "a.service", "drop_ins": drop_ins(65)}), "more than 64"),
            (drop_in(&format!("{}.conf", "a".repeat(124))), "must match"),
            (drop_in(".conf"), "must match"),
            (drop_in("a.service"), "must match"),
            (drop_in("a b.conf"), "must match"),
            (content(65_535, 2), "content above"),
            (json!({"name": "a.service", "state": "inactive", "restart_on": ["b"]}), "restarted"),
        ],
    );
}

/// What each kind keeps as its own, and what it comes after.
#[test]
fn holdings_kinds_and_what_goes_before() {
    let unit = json!({
        "name": "a.service", "content": "x", "drop_ins": {"1.conf": ""}, "restart_on": ["conf"],
        "depends_on": ["base", {"host": "db-1", "resource": "ready"}],
    });
    let job = read("shell-job", &json!({"argv": ["true"]}));
    let ResourceSpec::ShellJob(spec) = &job.spec else { panic!("{job:?}") };
    let job_name = format!("shell-job:{}", spec.content());
    for (kind, keys, expected, names) in [
        ("file", json!({"path": "/f", "content": ""}), ResourceKind::File, vec!["/f"]),
        ("directory", json!({"path": "/d"}), ResourceKind::Directory, vec!["/d"]),
        ("user", json!({"name": "u"}), ResourceKind::User, vec!["user:u"]),
        ("group", json!({"name": "g"}), ResourceKind::Group, vec!["group:g"]),
        ("group", json!({"members": ["a"]}), ResourceKind::Group, vec![]),
        ("package", json!({"name": "p"}), ResourceKind::Package, vec!["package:p"]),
        ("shell-job", json!({"argv": ["true"]}), ResourceKind::ShellJob, vec![&*job_name]),
        ("teapot", json!({"spout": 1}), ResourceKind::Unknown, vec![]),
        (
            "systemd-unit",
            unit.clone(),
            ResourceKind::SystemdUnit,
            vec![
                "systemd-unit:a.service",
                "/etc/systemd/system/a.service.d",
                "/etc/systemd/system/a.service",
                "/etc/systemd/system/a.service.d/1.conf",
            ],
        ),
    ] {
        let resource = read(kind, &keys);
        assert_eq!(resource.spec.kind(), expected, "{kind}");
        assert_eq!(resource.spec.kind_str(), kind);
        let held: Vec<Holding> = resource.spec.holdings();
        assert_eq!(held.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), names, "{kind}");
    }
    let unit = read("systemd-unit", &unit);
    let before: Vec<String> = unit.needs_here().map(ToString::to_string).collect();
    assert_eq!(before, ["base", "conf"], "what is elsewhere is not here");
    assert_eq!(read("directory", &json!({"path": "/d"})).needs_here().count(), 0);
}

#[test]
fn the_assets_of_a_bundle_are_those_its_files_name() {
    let (one, two) = (BlobId::of(b"1"), BlobId::of(b"2"));
    let bundle: Bundle = serde_json::from_value(json!({
        "schema_version": 1,
        "resources": [
            {"id": "a", "kind": "file", "path": "/a", "asset": one, "size": 1},
            {"id": "b", "kind": "file", "path": "/b", "content": "x"},
            {"id": "c", "kind": "directory", "path": "/c"},
            {"id": "d", "kind": "file", "path": "/d", "asset": two, "size": 1},
        ],
    }))
    .unwrap();
    assert_eq!(bundle.assets().collect::<Vec<_>>(), [one, two]);
    assert_eq!((bundle.max_parallel, bundle.profile.as_str()), (4, ""));
}

/// Probes and gates at their limits.
#[test]
fn probes_and_gates() {
    let bundle = |probe: &Value, gate: &Value| -> Result<Bundle, String> {
        let text = json!({
            "schema_version": 1,
            "resources": [{"id": "a", "kind": "directory", "path": "/a", "health_gate": gate}],
            "probes": [probe],
        });
        serde_json::from_value(text).map_err(|error| error.to_string())
    };
    let gate = |retries: u64, secs: u64| json!({"kind": "tcp", "address": "a:1", "retries": retries, "timeout_secs": secs});
    let probe = |interval: u64, timeout: u64| json!({"name": "p", "kind": "http", "url": "http://a/", "interval_secs": interval, "timeout_secs": timeout});
    for (interval, timeout, fits) in [
        (1, 1, true),
        (2, 1, true),
        (2, 2, false),
        (3600, 3599, true),
        (3601, 1, false),
        (0, 1, false),
        (15, 0, false),
    ] {
        let read = bundle(&probe(interval, timeout), &gate(1, 1));
        assert_eq!(read.is_ok(), fits, "every {interval} s, for {timeout} s");
    }
    for (retries, secs, fits) in
        [(1, 1, true), (1000, 86_400, true), (1001, 1, false), (1, 86_401, false), (0, 1, false)]
    {
        let read = bundle(&probe(15, 5), &gate(retries, secs));
        assert_eq!(read.is_ok(), fits, "{retries} times in {secs} s");
    }
    for missing in [json!({"kind": "directory"}), json!({"id": "a"})] {
        assert!(serde_json::from_value::<Resource>(missing).is_err());
    }
    assert!(Bundle::parse(b"{}").unwrap_err().to_string().contains("no schema_version"));
    let nameless = bundle(&json!({"kind": "tcp", "address": "a:1"}), &gate(1, 1)).unwrap_err();
    assert!(nameless.contains("missing field `name`"), "{nameless}");
    let wrong = json!({"name": "p", "kind": "tcp", "address": "a:1", "interval_secs": "x"});
    let wrong = bundle(&wrong, &gate(1, 1)).unwrap_err();
    assert!(wrong.contains("interval_secs: "), "{wrong}");
    let read = bundle(&probe(15, 5), &gate(6, 60)).unwrap();
    assert_eq!(read.declared_probes()[0].kind, wavegate_proto::record::ProbeKind::Http);
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(written["probes"][0]["method"], "GET", "the default of the check");
    assert_eq!(serde_json::from_value::<Bundle>(written).unwrap(), read);
}
