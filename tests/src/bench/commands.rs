//! How long an operator's commands take, with the real agent and the real command line: from `ban add` to the first frame that
//! is dropped, and ten thousand bans from stdin.
//!
//! A sender in the client's namespace numbers its datagrams and notes when it sent each; the server's socket keeps what came
//! through. The one after the last is the first that was dropped, and the time from the start of the command to when that was
//! sent is what the operator waits for. Nobody reads the socket until then: a reader woken ten thousand times a second would
//! take half of the only CPU that the flood leaves to the command and the agent.

use std::{
    fmt::Write as _,
    hint, io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use stopbank_tests::{
    agent::{Settings, Site},
    cpu::{self, Role},
    interrupt,
    topology::{CLIENT, SERVER, Topology},
};

use crate::{
    features::Config,
    measure::{Plan, median},
    rows::{Section, rounded, row},
};

/// The most that it may take from the start of `ban add` to the first dropped frame, in milliseconds.
const MOST_TO_DROP: f64 = 5.0;
/// The most that ten thousand bans from stdin may take, in milliseconds.
const MOST_FOR_MANY: f64 = 500.0;
const MANY: u32 = 10_000;
/// Between two datagrams: so exact is the time of the first drop.
const PACE: Duration = Duration::from_micros(250);
/// Far more than comes in twice the time below, so that whatever is missing was dropped by the program.
const KEPT: libc::c_int = 64 << 20;
/// What the sender does before the ban and after it.
const AROUND: Duration = Duration::from_millis(80);

/// Milliseconds of each round.
#[derive(Default)]
struct Times {
    to_drop: Vec<f64>,
    /// With ten thousand other bans.
    to_drop_among_many: Vec<f64>,
    answered: Vec<f64>,
    many: Vec<f64>,
    many_removed: Vec<f64>,
}

/// Both, with an agent of its own.
pub(crate) fn run(plan: &Plan<'_>) -> Result<Section> {
    cpu::assign(0, Role::Other)?;
    let topology = Topology::new()?;
    let site = Site::new(&topology.server)?;
    site.configure(&Settings::default())?;
    let agent = site.start()?;
    let bans = many();
    let mut times = Times::default();
    for round in 0..=plan.rounds {
        interrupt::check()?;
        eprintln!("commands: round {round} of {}", plan.rounds);
        let alone = to_first_drop(&topology, &site)?;
        let many = timed(&site, &["ban", "add", "-", "--reason", "benchmark"], &bans)?;
        let listed = site.ask(&["status"])?["lists"]["ban"].as_u64();
        ensure!(listed == Some(MANY.into()), "{listed:?} bans, and not {MANY}");
        let among = to_first_drop(&topology, &site)?;
        let removed = timed(&site, &["ban", "rm", "-", "-o", "jsonl"], &bans)?;
        if round > 0 {
            times.to_drop.push(alone.0);
            times.to_drop_among_many.push(among.0);
            times.answered.push(alone.1);
            times.many.push(many);
            times.many_removed.push(removed);
        }
    }
    agent.stop()?;
    site.detach()?;
    Ok(report(&times))
}

/// Milliseconds until the first dropped frame, and until the command had ended.
fn to_first_drop(topology: &Topology, site: &Site<'_>) -> Result<(f64, f64)> {
    let receiver = topology.server.run(|| UdpSocket::bind((SERVER.0, 0)))??;
    keep(&receiver, KEPT)?;
    receiver.set_nonblocking(true)?;
    let sender = topology.client.run(|| UdpSocket::bind((CLIENT.0, 0)))??;
    sender.connect(receiver.local_addr()?)?;
    let stop = AtomicBool::new(false);
    let client = CLIENT.0.to_string();
    let (sent, begin, answered) = thread::scope(|scope| {
        let sending = scope.spawn(|| send(&sender, &stop));
        thread::sleep(AROUND);
        let begin = Instant::now();
        let banned = site.cli(&["ban", "add", &client, "--for", "1m"]);
        let answered = begin.elapsed();
        thread::sleep(AROUND);
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().expect("a sender does not panic");
        ensure!(banned?.status.success(), "the ban was refused");
        Ok((sent?, begin, answered))
    })?;
    let removed = site.cli(&["ban", "rm", &client])?;
    ensure!(removed.status.success(), "the ban cannot be removed");
    let first_dropped = usize::try_from(last(&receiver).context("nothing came through before the ban")?)? + 1;
    let at = sent.get(first_dropped).context("the ban stopped nothing")?;
    ensure!(*at >= begin, "frames were lost before the ban: the machine is too busy to measure on");
    let to_drop = at.duration_since(begin);
    Ok((to_drop.as_secs_f64() * 1e3, answered.as_secs_f64() * 1e3))
}

/// Sends numbered datagrams, and gives the time of each.
fn send(socket: &UdpSocket, stop: &AtomicBool) -> Result<Vec<Instant>> {
    cpu::assign(0, Role::Flood)?;
    let mut sent = Vec::new();
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = begin + PACE * u32::try_from(sent.len())?;
        while Instant::now() < due {
            hint::spin_loop();
        }
        let number = sent.len() as u64;
        sent.push(Instant::now());
        socket.send(&number.to_be_bytes())?;
    }
    Ok(sent)
}

/// Lets a socket keep so many bytes of what nobody has read.
fn keep(socket: &UdpSocket, bytes: libc::c_int) -> Result<()> {
    // SAFETY: the option's value is an int, which lives across the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const bytes).cast(),
            size_of_val(&bytes).try_into()?,
        )
    };
    ensure!(done == 0, "cannot set SO_RCVBUFFORCE: {}", io::Error::last_os_error());
    Ok(())
}

/// The number of the last one that came; `None`: none did.
fn last(socket: &UdpSocket) -> Option<u64> {
    let mut number = [0; 8];
    let mut last = None;
    while socket.recv(&mut number).is_ok_and(|length| length == number.len()) {
        last = Some(u64::from_be_bytes(number));
    }
    last
}

/// Ten thousand lines: addresses all over IPv4, and networks of IPv6.
fn many() -> String {
    (0..MANY).fold(String::new(), |mut text, i| {
        // A multiplicative hash spreads them; none is within 10.0.0.0/8, where the client is, or loopback.
        let spread = i.wrapping_mul(2_654_435_761);
        let _ = if i % 5 == 4 {
            writeln!(text, "2001:db8:{:x}:{:x}::/64", spread >> 16, i)
        } else {
            writeln!(text, "{}", Ipv4Addr::from(0x8000_0000 | spread >> 1))
        };
        text
    })
}

/// Milliseconds that a command takes, from its start to its end.
fn timed(site: &Site<'_>, arguments: &[&str], input: &str) -> Result<f64> {
    let begin = Instant::now();
    let output = site.cli_with_input(arguments, input)?;
    let time = begin.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "stopbank {}: {said}", arguments.join(" "));
    Ok(time.as_secs_f64() * 1e3)
}

fn report(times: &Times) -> Section {
    let mut section = Section::default();
    let text = &mut section.markdown;
    *text += "\n## Commands\n\nMilliseconds from the start of the command, the whole command line included:\n\n\
              | command | median | worst | at most | |\n| --- | ---: | ---: | ---: | --- |\n";
    for (case, what, times, most) in [
        ("ban-to-drop", "`ban add` to the first dropped frame", &times.to_drop, Some(MOST_TO_DROP)),
        (
            "ban-to-drop-among-10000",
            "the same, beside 10,000 other bans",
            &times.to_drop_among_many,
            Some(MOST_TO_DROP),
        ),
        ("ban-answered", "`ban add` to its end", &times.answered, None),
        ("ban-10000", "10,000 bans from stdin", &times.many, Some(MOST_FOR_MANY)),
        ("unban-10000", "removing them, from stdin", &times.many_removed, None),
    ] {
        let (middle, worst) = (median(times.clone()), times.iter().copied().fold(0.0, f64::max));
        let verdict = most.map_or("", |most| if middle <= most { "**pass**" } else { "**MISS**" });
        let bound = most.map_or_else(String::new, |most| format!("{most:.0}"));
        let _ = writeln!(text, "| {what} | {middle:.2} | {worst:.2} | {bound} | {verdict} |");
        let fields = json!({
            "case": case, "median_ms": rounded(middle), "worst_ms": rounded(worst), "rounds": times.len(),
            "at_most": most,
        });
        section.rows.push(row("commands", Config::Default, fields));
    }
    section
}
