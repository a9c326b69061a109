//! Judges the values of files and says how many are refused, and how long a value takes.
//!
//! A file has a JSON object a line, whose `value` is the text, or whose `raw` is its bytes in base64; lines whose `split` is not the one that
//! `--split` names are left out. With `--missed` what is not refused is listed, with `--refused` what is.

use std::{fs, hint::black_box, path::Path, time::Instant};

use anyhow::{Context, Result};
use base64::Engine as _;
use stopbank_checker::inject::{Detector, Kind, Scratch};

fn main() -> Result<()> {
    let (mut missed, mut refused, mut split, mut files) = (false, false, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--missed" => missed = true,
            "--refused" => refused = true,
            "--split" => split = arguments.next(),
            _ => files.push(argument),
        }
    }
    let (detector, mut scratch) = (Detector::new(), Scratch::default());
    println!(
        "{:<40} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}",
        "set", "values", "refused", "%", "bytes", "ns/value", "ns/KiB"
    );
    for file in files {
        let values = read(&file, split.as_deref())?;
        let mut count = 0;
        for value in &values {
            let finding = detector.judge_bytes(value, Kind::Value, &mut scratch);
            count += usize::from(finding.is_some());
            let text = String::from_utf8_lossy(value);
            match finding {
                Some(finding) if refused => println!("+ {} {} {text:?}", finding.rule, finding.layer),
                None if missed => println!("- {text:?}"),
                _ => {}
            }
        }
        let bytes: usize = values.iter().map(Vec::len).sum();
        let start = Instant::now();
        for value in &values {
            black_box(detector.judge_bytes(value, Kind::Value, &mut scratch));
        }
        let nanoseconds = start.elapsed().as_nanos() as usize;
        let name = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy();
        let (each, kibibyte) = (nanoseconds / values.len().max(1), nanoseconds * 1024 / bytes.max(1));
        let share = 100.0 * count as f64 / values.len().max(1) as f64;
        println!(
            "{name:<40} {:>8} {count:>8} {share:>8.2} {:>8} {each:>10} {kibibyte:>10}",
            values.len(),
            bytes / values.len().max(1)
        );
    }
    Ok(())
}

fn read(file: &str, split: Option<&str>) -> Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    let mut values = Vec::new();
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).with_context(|| format!("a line of {file}"))?;
        if split.is_some() && line["split"].as_str() != split {
            continue;
        }
        match (line["value"].as_str(), line["raw"].as_str()) {
            (Some(value), _) => values.push(value.as_bytes().to_vec()),
            (None, Some(raw)) => values.push(base64::engine::general_purpose::STANDARD.decode(raw)?),
            (None, None) => {}
        }
    }
    Ok(values)
}
