//! The benchmarks work: a small run of them, for its checks and not for its figures.

use std::process::Command;

/// Downloads go out with a bound and without; P3 counts heartbeats and events apart; P10 shows each wave after the first.
const EXPECTED: &str = "P1 P2 P7 handshakes downloads downloads P3 P3 P4 P5 P6 P8 P9 P10 P10 P10";

#[test]
fn a_quick_run_measures_both_sides_and_finds_every_acknowledged_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures.jsonl");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command.args(["--quick", "--json"]).arg(&json).output();
    let output = output.expect("the benchmark starts");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    let targets: Vec<&str> =
        lines.iter().map(|line| line.split(' ').next().expect("a target")).collect();
    assert_eq!(targets.join(" "), EXPECTED, "{stdout}");
    let json = std::fs::read_to_string(json).expect("the figures");
    for ((line, target), json) in lines.iter().zip(targets).zip(json.lines()) {
        let json: serde_json::Value = serde_json::from_str(json).expect("an object");
        assert!(json["target"].as_str().is_some_and(|t| t.starts_with(target)), "{json}, {line}");
        assert_eq!(json.as_object().expect("an object").len(), line.matches('=').count() + 2);
    }
    assert_eq!(json.lines().count(), lines.len());
    for (line, target) in lines.iter().zip(["P1", "P2"]) {
        assert!(line.starts_with(&format!("{target} ratio=")), "{line}");
        assert!(line.contains(" refused=0 "), "{line}");
        for figure in ["ratio=", " ours=", " reference="] {
            let value = line.split_once(figure).expect("the figure").1;
            let number = value.split([' ', '/']).next().expect("its number");
            assert!(number.parse::<f64>().expect("a number") > 0.0, "{line}");
        }
    }
    assert!(stderr.contains("every acknowledged event is in its database"), "{stderr}");
}

#[test]
fn how_cost_grows_is_told_and_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("growth.svg");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command.args(["growth", "--quick", "--plot"]).arg(&picture).output();
    let output = output.expect("the benchmark starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("hosts=200 adopt_ms="), "{stdout}");
    assert!(lines[1].starts_with("hosts=1000 adopt_ms="), "{stdout}");
    let drawn = std::fs::read_to_string(picture).expect("the picture");
    assert!(drawn.starts_with("<svg"), "{drawn}");
    for line in
        ["an event, with the plan that follows", "a start, its release aside", "resident", "hosts"]
    {
        assert!(drawn.contains(line), "{line} is not in the picture");
    }
    let (lines, points) = (drawn.matches("<polyline").count(), drawn.matches("<circle").count());
    assert!(lines >= 8 && points == 2 * 8, "{lines} lines and {points} points");
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
}
