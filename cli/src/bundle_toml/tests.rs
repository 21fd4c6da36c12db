//! Bundle files in, document or complaint out.

use std::io;
use std::path::Path;

use wavegate_proto::artifact::bundle::{FileContent, ResourceSpec};

use super::*;

fn read_beside(path: &Path) -> io::Result<Vec<u8>> {
    match path.components().collect::<std::path::PathBuf>().to_str().unwrap() {
        "b/small" => Ok(b"small".to_vec()),
        "b/large" => Ok(vec![b'x'; 64 * 1024 + 1]),
        "b/binary" => Ok(vec![0xff, 0xfe]),
        "b/key" => Ok(b"-----BEGIN PRIVATE KEY-----".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn parse(text: &str) -> Result<BundleFile, FileErrors> {
    let source = Source::new(Path::new("b/app.toml"), text.to_owned());
    BundleFile::parse(source, SecretsPolicy::Refuse, &read_beside)
}

fn complaint(text: &str) -> String {
    parse(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string()
}

const FILE: &str = "[[resources]]\nid = \"a\"\nkind = \"file\"\npath = \"/etc/a\"\n";

#[test]
fn defaults_are_written_out() {
    let bundle = parse(&format!(
        "{FILE}content = \"x\"\n\
         health_gate = {{ kind = \"tcp\", address = \"127.0.0.1:1\", timeout = \"10s\" }}\n\
         [[probes]]\nname = \"p\"\nkind = \"exec\"\nargv = [\"/bin/true\"]\ninterval = \"2s\"\n"
    ))
    .unwrap();
    let text = serde_json::to_string(&bundle.bundle).unwrap();
    insta::assert_snapshot!(text, @r#"{"schema_version":1,"profile":"","max_parallel":4,"resources":[{"content":"x","create_parents":false,"depends_on":[],"health_gate":{"address":"127.0.0.1:1","kind":"tcp","retries":6,"timeout_secs":10},"id":"a","kind":"file","mode":"0644","on_drift":"correct","one_way":false,"path":"/etc/a"}],"probes":[{"argv":["/bin/true"],"env":{},"expect_exit":0,"interval_secs":2,"kind":"exec","mode":"enforce","name":"p","timeout_secs":1,"user":"nobody"}]}"#);
}

#[test]
fn small_sources_are_inlined_and_large_or_binary_ones_become_assets() {
    for (source, inline) in
        [("small", true), ("./small", true), ("large", false), ("binary", false)]
    {
        let file = parse(&format!("{FILE}source = \"{source}\"\n")).unwrap();
        let ResourceSpec::File(spec) = &file.bundle.resources[0].spec else { panic!("no file") };
        match &spec.content {
            FileContent::Inline(text) => assert!(inline && text == "small", "{source}"),
            FileContent::HostFile(_) => panic!("{source}"),
            FileContent::Asset { asset, size } => {
                assert!(!inline, "{source}");
                assert_eq!(file.assets[asset].len() as u64, *size);
            }
        }
    }
}

#[test]
fn every_kind_can_be_written() {
    let bundle = parse(
        r#"
        [[resources]]
        id = "accounts"
        kind = "group"
        members = ["www", "app"]
        max_parallel = 1
        [[resources]]
        id = "www"
        kind = "group"
        name = "www"
        [[resources]]
        id = "app"
        kind = "user"
        name = "app"
        groups = ["www"]
        depends_on = ["www"]
        [[resources]]
        id = "migrate"
        kind = "shell-job"
        argv = ["/usr/bin/migrate"]
        env = { STAGE = "2" }
        timeout = "5m"
        depends_on = ["accounts"]
        [[resources]]
        id = "unit"
        kind = "systemd-unit"
        name = "app.service"
        source = "small"
        enabled = true
        state = "active"
        restart_on = ["migrate"]
        drop_ins = { "10-env.conf" = "[Service]" }
        [[resources]]
        id = "web"
        kind = "package"
        name = "nginx"
        hold = true
        "#,
    );
    let text = serde_json::to_value(&bundle.unwrap().bundle).unwrap();
    let resource = |at: usize, key: &str| text["resources"][at][key].clone();
    assert_eq!(resource(0, "members"), serde_json::json!(["www", "app"]));
    assert_eq!(resource(1, "name"), "www");
    assert_eq!(resource(2, "groups"), serde_json::json!(["www"]));
    assert_eq!(resource(3, "timeout_secs"), 300);
    assert_eq!(resource(3, "output_bytes"), 65_536);
    assert_eq!((resource(4, "content"), resource(4, "state")), ("small".into(), "active".into()));
    assert_eq!((resource(5, "version"), resource(5, "hold")), (Value::Null, true.into()));
}

/// O5 and the secrets rule: each mistake is refused with file and line.
#[test]
fn o5_mistakes_are_refused_with_their_line() {
    let probe = "[[probes]]\nname = \"p\"\nkind = \"tcp\"\n";
    for (text, expected) in [
        (
            format!("{FILE}contents = \"x\"\n"),
            "b/app.toml:5: unknown key `contents`\n  hint: did you mean `content`?",
        ),
        (
            FILE.replace("\"file\"", "\"fil\""),
            "b/app.toml:3: unknown value `fil`\n  hint: did you mean `file`?",
        ),
        (
            "max_paralel = 1\n".to_owned(),
            "b/app.toml:1: unknown key `max_paralel`\n  hint: did you mean `max_parallel`?",
        ),
        (format!("{FILE}source = \"key\"\n"), "b/app.toml:1: looks like it holds a private key"),
        (format!("{FILE}content = \"-----BEGIN EC PRIVATE KEY-----\"\n"), "private key"),
        (format!("{FILE}source = \"../small\"\n"), "must be a path beside or below"),
        (format!("{FILE}source = \"gone\"\n"), "source \"gone\" cannot be read"),
        (
            format!("{FILE}content = \"x\"\ncontent_from = {{ host_file = \"/s\" }}\n"),
            "content_from stands alone",
        ),
        (format!("{FILE}content_from = {{ host_file = \"s\" }}\n"), "is not absolute"),
        (FILE.replace("/etc/a", "/etc/../a") + "content = \"\"\n", "has \"..\" in it"),
        (
            format!("{FILE}content = \"x\"\ndepends_on = [\"b\"]\n"),
            "depends on unknown resource `b`",
        ),
        (format!("{FILE}content = \"x\"\ndepends_on = [\"a\"]\n"), "form a cycle: a"),
        (
            format!("{FILE}content = \"x\"\n{FILE}content = \"x\"\n"),
            "b/app.toml:7: a second resource a",
        ),
        (
            format!(
                "{FILE}content = \"x\"\n[[resources]]\nid = \"g\"\nkind = \"group\"\nmembers = [\"b\"]\n"
            ),
            "group g has member b, which is not in the bundle",
        ),
        (
            "[[resources]]\nid = \"g\"\nkind = \"group\"\n".to_owned(),
            "b/app.toml:1: missing key `name`",
        ),
        (
            "[[resources]]\nid = \"j\"\nkind = \"shell-job\"\nargv = [\"x\"]\ntimeout = \"2d\"\n"
                .to_owned(),
            "timeout must be 1s to 24h",
        ),
        (
            format!("{probe}adress = \"x:1\"\n"),
            "b/app.toml:4: unknown key `adress`\n  hint: did you mean `address`?",
        ),
        (
            format!("{probe}address = \"x:1\"\ninterval_secs = 3\n"),
            "b/app.toml:5: unknown key `interval_secs`",
        ),
        (format!("{probe}address = \"x:1\"\ninterval = \"2h\"\n"), "interval must be 1s to 1h"),
        (
            format!("{probe}address = \"x:1\"\ntimeout = \"15s\"\n"),
            "timeout must be at least 1s and below the interval",
        ),
    ] {
        let found = complaint(&text);
        assert!(found.contains(expected), "{text}\nexpected {expected}\nfound {found}");
    }
}
