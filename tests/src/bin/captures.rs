//! Writes the captures of floods and of an ordinary day into a directory, to try configurations on:
//!
//! ```console
//! $ cargo run -p stopbank-tests --bin captures -- /tmp/captures
//! # stopbank simulate --pcap /tmp/captures/dns-reflection.pcap --config my.toml
//! ```

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use stopbank_tests::captures::{benign, floods};

/// Write captures of floods and of an ordinary day
#[derive(Parser)]
struct Arguments {
    /// Where to; the directory is made
    directory: PathBuf,
    /// Only those whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let Arguments { directory, only } = Arguments::parse();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for scenario in floods().into_iter().chain(benign()).filter(|scenario| scenario.name.contains(&only)) {
        let path = directory.join(format!("{}.pcap", scenario.name));
        fs::write(&path, (scenario.make)().bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
