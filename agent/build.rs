//! Takes in the BPF object that the agent embeds.

mod embed;

use std::io;

fn main() -> io::Result<()> {
    let real = embed::embed(&["stopbank-xdp"])?;
    println!("cargo::rustc-env=STOPBANK_OBJECT_STUB={}", if real { "0" } else { "1" });
    Ok(())
}
