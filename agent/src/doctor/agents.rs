//! Whether an agent runs, and whether its pins can be where they are to be.

use std::path::Path;

use super::Finding;
use crate::{
    datapath::{is_bpf_filesystem, protected},
    lock::holder,
};

/// `socket` and `pins`: of the configuration.
pub(super) fn findings(socket: &Path, pins: &Path) -> Vec<Finding> {
    vec![agent(holder(socket), &protected(pins).unwrap_or_default(), socket), pin_directory(pins)]
}

fn agent(holder: Option<Option<u32>>, protected: &[String], socket: &Path) -> Finding {
    const CHECK: &str = "agent";
    let interfaces = if protected.is_empty() { "nothing".to_owned() } else { protected.join(", ") };
    match holder {
        Some(process) => {
            let process = process.map_or_else(String::new, |number| format!("process {number} "));
            Finding::ok(CHECK, format!("{process}at {}; protected: {interfaces}", socket.display()))
        }
        None if protected.is_empty() => Finding::ok(CHECK, "none runs, and nothing is protected"),
        None => Finding::warn(
            CHECK,
            format!(
                "none runs; {interfaces} stay protected by the policy of the last one, and no metrics are served"
            ),
            "systemctl start stopbank, or stopbank run; stopbank detach ends protection",
        ),
    }
}

/// The nearest directory that exists decides.
fn pin_directory(pins: &Path) -> Finding {
    const CHECK: &str = "pin directory";
    let there = pins.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let found = pins.display().to_string();
    if is_bpf_filesystem(there) {
        return Finding::ok(CHECK, found);
    }
    if pins.starts_with("/sys/fs/bpf") {
        // The check of the filesystem says what to do.
        return Finding::ok(CHECK, format!("{found}, once the BPF filesystem is mounted"));
    }
    Finding::fail(CHECK, format!("{found} is on no BPF filesystem"), "pin_dir below /sys/fs/bpf")
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn protection_without_an_agent_is_told() {
        let socket = Path::new("/run/stopbank/control.sock");
        let eth0 = ["eth0".to_owned()];
        assert_eq!(agent(Some(Some(7)), &eth0, socket).state, State::Ok);
        assert_eq!(agent(None, &[], socket).state, State::Ok);
        assert_eq!(agent(None, &eth0, socket).state, State::Warn);
        assert_eq!(pin_directory(Path::new("/tmp/none/here")).state, State::Fail);
    }
}
