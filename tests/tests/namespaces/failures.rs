//! What cannot be done is said, with an exit code of its own, and leaves everything as it was.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Output},
};

use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};
use libtest_mimic::Trial;
use stopbank_tests::{
    agent::{Settings, Site, binary},
    process,
    scratch::Scratch,
    topology::{INTERFACE, Topology},
};

use crate::rig::{bare_trial, enforcing, has_program, said, site, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a bad configuration is named by file, line and column", bad_configuration),
        trial("an interface that does not exist is named", missing_interface),
        trial("without native XDP the agent says so, and takes generic when told", without_native_support),
        trial("another's XDP program stays where it is", foreign_program),
        trial("a user without privileges is told what is missing", without_privileges),
        bare_trial("the demo refuses to run without root", demo_without_root),
    ]
}

/// Runs the agent, which must end by itself.
fn run(site: &Site<'_>) -> Output {
    process::output(&mut site.run_command().unwrap(), "").unwrap()
}

fn assert_untouched(topology: &Topology, site: &Site<'_>) {
    assert!(!site.pinned(), "something is pinned");
    assert!(!has_program(&topology.server, INTERFACE), "something is attached");
}

fn bad_configuration(topology: &Topology) {
    let site = Site::new(&topology.server).unwrap();
    for (text, line, named) in [
        ("mode = \"enforced\"\n[[interface]]\nname = \"eth0\"\n", 1, "observe"),
        ("mode = \"enforce\"\n[[interface]]\nname = \"eth0\"\nattach = 7\n", 4, "attach"),
        (
            "[[interface]]\nname = \"eth0\"\n[default]\nper_source = { packets = \"500 per s\" }\n",
            4,
            "500 per s",
        ),
        ("[[interface]]\nname = \"eth0\"\n[lists]\ndeny = [\"10.0.0.0/33\"]\n", 4, "10.0.0.0/33"),
        ("[[interface]\n", 1, ""),
        ("\u{0}", 1, ""),
    ] {
        site.write_configuration(text).unwrap();
        let output = run(&site);
        assert_eq!(output.status.code(), Some(78), "{text:?}: {}", said(&output));
        let place = format!("{}:{line}:", site.configuration().display());
        assert!(
            said(&output).contains(&place) && said(&output).contains(named),
            "{text:?}: {}",
            said(&output)
        );
        assert_untouched(topology, &site);
    }
    fs::remove_file(site.configuration()).unwrap();
    let output = run(&site);
    assert_eq!(output.status.code(), Some(78), "no file: {}", said(&output));
}

fn missing_interface(topology: &Topology) {
    let site = site(topology, &Settings { interface: "eth7".to_owned(), ..Settings::default() });
    let output = run(&site);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("eth7") && said(&output).contains(INTERFACE), "{}", said(&output));
    assert_untouched(topology, &site);
}

fn without_native_support(topology: &Topology) {
    // A bridge, like a dummy device, has no driver of its own to run a program in; unlike it, it is there wherever the
    // topology is.
    topology.server.ip(&["link add plain0 type bridge", "link set plain0 up"]).unwrap();
    let mut settings = Settings { interface: "plain0".to_owned(), ..Settings::default() };
    let site = site(topology, &settings);
    let output = run(&site);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("native") && said(&output).contains("generic"), "{}", said(&output));
    assert_untouched(topology, &site);
    assert!(!has_program(&topology.server, "plain0"));

    settings.attach = "generic";
    site.configure(&settings).unwrap();
    let _agent = site.start().unwrap();
    assert_eq!(site.ask(&["status"]).unwrap()["interfaces"][0]["attach"], "generic");
    assert!(has_program(&topology.server, "plain0"));
}

fn foreign_program(topology: &Topology) {
    static TRAFFIC: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/traffic-xdp"));
    let mut object = Ebpf::load(TRAFFIC).unwrap();
    let foreign: &mut Xdp = object.program_mut("flood").unwrap().try_into().unwrap();
    foreign.load().unwrap();
    let id = foreign.info().unwrap().id();
    for mode in [XdpMode::Driver, XdpMode::Skb] {
        let link = topology.server.run(|| foreign.attach(INTERFACE, mode)).unwrap().unwrap();
        let site = site(topology, &enforcing(""));
        let output = run(&site);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(&format!("id {id}")), "{}", said(&output));
        assert!(!site.pinned(), "something is pinned");
        let shown =
            process::run(topology.server.command("ip").args(["-d", "link", "show", "dev", INTERFACE]))
                .unwrap();
        assert!(shown.contains(&format!("prog/xdp id {id} ")), "{shown}");
        topology.server.run(|| foreign.detach(link)).unwrap().unwrap();
    }
}

/// Makes the command run as nobody. After it has entered its namespace, which takes root.
fn as_nobody(command: &mut Command) {
    const NOBODY: u32 = 65_534;
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            let dropped = libc::setgroups(0, std::ptr::null()) == 0
                && libc::setgid(NOBODY) == 0
                && libc::setuid(NOBODY) == 0;
            if dropped { Ok(()) } else { Err(io::Error::last_os_error()) }
        });
    }
}

/// A copy of a program where nobody can reach it: the tree may be in a home directory.
fn within_reach(program: &std::path::Path) -> (Scratch, std::path::PathBuf) {
    let scratch = Scratch::new().unwrap();
    let copy = scratch.file("program");
    fs::copy(program, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    (scratch, copy)
}

fn without_privileges(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let (_scratch, program) = within_reach(&binary().unwrap());
    let mut command = topology.server.command(&program);
    as_nobody(command.arg("run").arg("--config").arg(site.configuration()));
    let output = process::output(&mut command, "").unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(said(&output).contains("CAP_BPF"), "{}", said(&output));
    assert_untouched(topology, &site);
}

fn demo_without_root() {
    let (_scratch, program) = within_reach(env!("CARGO_BIN_EXE_demo").as_ref());
    let mut command = process::command(&program, None);
    as_nobody(&mut command);
    let output = process::output(&mut command, "").unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(said(&output).contains("sudo"), "{}", said(&output));
}
