//! The benchmarks work: a small run of them, for its checks and not for its figures.

use std::process::Command;

/// P3 counts heartbeats and events apart; P10 shows each wave after the first.
const EXPECTED: [&str; 13] =
    ["P1", "P2", "P7", "P3", "P3", "P4", "P5", "P6", "P8", "P9", "P10", "P10", "P10"];

#[test]
fn a_quick_run_measures_both_sides_and_finds_every_acknowledged_event() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).arg("--quick").output();
    let output = output.expect("the benchmark starts");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    let targets: Vec<&str> =
        lines.iter().map(|line| line.split(' ').next().expect("a target")).collect();
    assert_eq!(targets, EXPECTED, "{stdout}");
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
