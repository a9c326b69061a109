//! Takes in the BPF objects that send traffic and that the benchmark compares with.

#[path = "../agent/embed.rs"]
mod embed;

use std::io;

fn main() -> io::Result<()> {
    embed::embed(&["traffic-xdp", "bench-xdp"])?;
    Ok(())
}
