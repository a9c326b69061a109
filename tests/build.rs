//! Takes in the BPF objects that send traffic, that the benchmark compares with, and that try a kernel out.

#[path = "../agent/embed.rs"]
mod embed;

use std::io;

fn main() -> io::Result<()> {
    embed::embed(&["traffic-xdp", "bench-xdp", "probe-xdp"])?;
    Ok(())
}
