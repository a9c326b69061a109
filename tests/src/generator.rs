//! Sends floods: frames made in the kernel by the program in `ebpf/src/bin/traffic.rs`, by one CPU ([`Role::Flood`]).

use std::{
    mem,
    os::{fd::AsRawFd, unix::thread::JoinHandleExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray},
    programs::{
        ProgramError, SchedClassifier, TcAttachType, TestRun, TestRunAttrs, TestRunOptions, Xdp, XdpMode,
    },
};
use stopbank_common::parse::protocol;

use crate::{
    cpu::{self, Role},
    frames::{Frame, FrameBuilder, SHORTEST, internet_checksum},
    netns::{self, Namespace},
};

#[path = "../../ebpf/src/bin/traffic/settings.rs"]
mod settings;

use settings::{MOST_RESTORED, SOURCE_AT, Settings};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/traffic-xdp"));

const PROGRAM: &str = "flood";
const REPLIES: &str = "take_replies";
const SETTINGS: &str = "FLOOD";
const TEMPLATE: &str = "TEMPLATE";
const SENT: &str = "SENT";

/// Frames that the kernel makes and sends at once, with software interrupts held off. Well below the 256 that a veth's
/// receive queue holds.
const BATCH: u32 = 64;
/// Runs of the program for each system call, some seconds' worth: at the end of each call the kernel waits for a grace
/// period, some twenty milliseconds in which nothing is sent.
const RUNS: u32 = 1 << 24;

// SAFETY: repr(C), ten u32, no padding.
unsafe impl aya::Pod for Settings {}

/// What is sent, and from whom.
#[derive(Clone)]
pub struct Flood {
    /// The frame; its source is that of the first of the sources.
    pub frame: FrameBuilder,
    /// How many sources send it: consecutive IPv4 addresses, or consecutive /64s below an IPv6 /32. 0: random ones, out of
    /// all of IPv4, or out of that /32.
    pub sources: u32,
    /// Frames a second, or as many as one CPU can.
    pub pace: Option<u64>,
    /// Ends by itself after this long, or a few seconds later: a bound for what nobody stops.
    pub at_most: Duration,
}

/// The port that differs from frame to frame.
#[derive(Clone, Copy)]
enum Varied {
    SourcePort,
    DestinationPort,
}

/// A flood under way. It ends when this is dropped.
pub struct Running {
    stop: Arc<AtomicBool>,
    sent: PerCpuArray<MapData, u64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Flood {
    /// Sends it from `namespace` out of the interface with the index `interface`.
    ///
    /// # Errors
    ///
    /// Without root, or when the program was not built or is not taken by the kernel.
    pub fn start(&self, namespace: &Namespace, interface: u32) -> Result<Running> {
        self.start_varying(Varied::SourcePort, namespace, interface)
    }

    /// The same as a reflection: from the frame's own source port, to any destination port.
    ///
    /// # Errors
    ///
    /// As those of [`Self::start`].
    pub fn start_reflected(&self, namespace: &Namespace, interface: u32) -> Result<Running> {
        self.start_varying(Varied::DestinationPort, namespace, interface)
    }

    fn start_varying(&self, varied: Varied, namespace: &Namespace, interface: u32) -> Result<Running> {
        let (frame, settings) = self.template(interface, varied)?;
        let inside = namespace.handle()?;
        let mut object = load(&settings, &frame)?;
        let sent = object.take_map(SENT).context("no map of what was sent")?.try_into()?;
        let stop = Arc::new(AtomicBool::new(false));
        let sender = Sender { object, frame, at_most: self.at_most, stop: Arc::clone(&stop) };
        interruptible()?;
        let (started, has_started) = mpsc::channel();
        let thread = thread::Builder::new().name("flood".to_owned()).spawn(move || {
            netns::enter(inside.as_raw_fd()).context("cannot enter the flood's namespace")?;
            cpu::assign(0, Role::Flood).context("cannot give the flood its CPU")?;
            // The first frames show whether the kernel takes them.
            sender.send(BATCH)?;
            let _waiting = started.send(());
            sender.run()
        })?;
        let mut running = Running { stop, sent, thread: Some(thread) };
        // An error means that the thread has ended: with the reason.
        if has_started.recv().is_err() {
            running.end().context("the flood does not start")?;
        }
        Ok(running)
    }

    /// The template and what the program needs to complete it.
    fn template(&self, interface: u32, varied: Varied) -> Result<(Frame, Settings)> {
        let frame = self.frame.build().padded(SHORTEST);
        let v4 = frame[12..14] == [8, 0];
        ensure!(frame.network == 14, "floods carry no VLAN tags");
        let number = if v4 { frame[23] } else { frame[20] };
        let checksum_at = match number {
            protocol::TCP => frame.transport + 16,
            // No checksum at all (RFC 768): zero stays zero.
            protocol::UDP if v4 => 0,
            protocol::UDP => frame.transport + 6,
            // Covers no pseudo header.
            protocol::ICMP => 0,
            protocol::ICMPV6 => frame.transport + 2,
            _ => bail!("a flood of protocol {number}: only TCP, UDP, ICMP and ICMPv6"),
        };
        let first = frame[SOURCE_AT..SOURCE_AT + 4].try_into()?;
        let port_at = match (number, varied) {
            (protocol::TCP | protocol::UDP, Varied::SourcePort) => frame.transport,
            (protocol::TCP | protocol::UDP, Varied::DestinationPort) => frame.transport + 2,
            _ => 0,
        };
        let mut settings = Settings {
            interface,
            first_source: u32::from_be_bytes(first),
            sources: self.sources,
            port_at: port_at as u32,
            header_checksum_at: if v4 { 24 } else { 0 },
            transport_checksum_at: checksum_at as u32,
            // A SYN may be answered with a cookie.
            restored: if number == protocol::TCP { frame.transport as u32 + 20 } else { 0 },
            spacing_ns: self.pace.map_or(0, |pace| (1_000_000_000 / pace.clamp(1, 1_000_000_000)) as u32),
            ..Settings::default()
        };
        let mut blank = frame.clone().with(SOURCE_AT, &[0; 4]);
        if port_at != 0 {
            blank = blank.with(port_at, &[0; 2]);
        }
        if v4 {
            blank = blank.with(24, &[0; 2]);
            settings.header_sum = u32::from(!internet_checksum(&[&blank[14..frame.transport]]));
        }
        if checksum_at != 0 {
            blank = blank.with(checksum_at, &[0; 2]);
            // Without the padding that a short frame has.
            let end = if v4 {
                14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]))
            } else {
                54 + usize::from(u16::from_be_bytes([frame[18], frame[19]]))
            };
            let addresses = if v4 { &blank[26..34] } else { &blank[22..54] };
            let pseudo = [0, number, 0, (end - frame.transport) as u8];
            let sum = !internet_checksum(&[addresses, &pseudo, &blank[frame.transport..end]]);
            settings.transport_sum = u32::from(sum);
        }
        let template = if number == protocol::UDP && v4 {
            frame.clone().with(frame.transport + 6, &[0; 2])
        } else {
            frame
        };
        Ok((template, settings))
    }
}

impl Running {
    /// Frames handed to the interface so far.
    ///
    /// # Errors
    ///
    /// When the kernel does not say.
    pub fn sent(&self) -> Result<u64> {
        Ok(self.sent.get(&0, 0)?.iter().sum())
    }

    /// Ends it and says how many frames were handed to the interface, exactly.
    ///
    /// # Errors
    ///
    /// When sending failed.
    pub fn stop(mut self) -> Result<u64> {
        self.end()?;
        self.sent()
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        while !thread.is_finished() {
            // A signal ends the system call that sends. One that comes between two calls is lost: hence again.
            // SAFETY: the thread has not been joined, so its handle is valid.
            unsafe { libc::pthread_kill(thread.as_pthread_t(), interruption()) };
            thread::sleep(Duration::from_millis(2));
        }
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever drops it does not ask why it failed.
        let _ended = self.end();
    }
}

struct Sender {
    object: Ebpf,
    frame: Frame,
    at_most: Duration,
    stop: Arc<AtomicBool>,
}

impl Sender {
    fn run(&self) -> Result<()> {
        let begin = Instant::now();
        while !self.stop.load(Ordering::Relaxed) && begin.elapsed() < self.at_most {
            self.send(RUNS)?;
        }
        Ok(())
    }

    fn send(&self, runs: u32) -> Result<()> {
        let program: &Xdp = self.object.program(PROGRAM).context("the flood program is gone")?.try_into()?;
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat: runs,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        match program.test_run(options) {
            Ok(_) => Ok(()),
            // By our own signal, or a debugger's. What was sent is counted by the program.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::Interrupted =>
            {
                Ok(())
            }
            Err(error) => Err(error).context("cannot send frames by BPF_PROG_TEST_RUN"),
        }
    }
}

fn load(settings: &Settings, frame: &[u8]) -> Result<Ebpf> {
    ensure!(!OBJECT.is_empty(), "built without the flood program: run `cargo xtask build`");
    let mut object = Ebpf::load(OBJECT).context("the kernel refuses the flood's maps")?;
    let mut map: Array<_, Settings> = object.map_mut(SETTINGS).context("no map of settings")?.try_into()?;
    map.set(0, settings, 0)?;
    let mut first = [0; MOST_RESTORED];
    let bytes = frame.len().min(MOST_RESTORED);
    first[..bytes].copy_from_slice(&frame[..bytes]);
    let mut map: Array<_, [u8; MOST_RESTORED]> =
        object.map_mut(TEMPLATE).context("no map of the template")?.try_into()?;
    map.set(0, first, 0)?;
    let program: &mut Xdp = object.program_mut(PROGRAM).context("no flood program")?.try_into()?;
    program.load().context("the kernel refuses the flood program")?;
    Ok(object)
}

/// Lets what the program on the other end of a veth sends back (`XDP_TX`) come in at `interface`, until it is dropped.
///
/// # Errors
///
/// When the kernel refuses.
pub fn take_replies(interface: &str) -> Result<Ebpf> {
    ensure!(!OBJECT.is_empty(), "built without the flood program: run `cargo xtask build`");
    let mut object = Ebpf::load(OBJECT).context("the kernel refuses the flood's maps")?;
    let program: &mut Xdp = object.program_mut(REPLIES).context("no program for replies")?.try_into()?;
    program.load().context("the kernel refuses the program for replies")?;
    program
        .attach(interface, XdpMode::Driver)
        .with_context(|| format!("cannot attach a program to {interface}"))?;
    Ok(object)
}

/// Attaches one of the tc programs of `ebpf/src/bin/traffic/tags.rs` to an interface of this thread's namespace, until the
/// result is dropped.
pub(crate) fn attach_tagging(interface: &str, name: &str, way: TcAttachType) -> Result<Ebpf> {
    let mut object = Ebpf::load(OBJECT).context("the kernel refuses the flood's maps")?;
    let program: &mut SchedClassifier =
        object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    program.load().with_context(|| format!("the kernel refuses {name}"))?;
    program.attach(interface, way).with_context(|| format!("cannot attach {name} to {interface}"))?;
    Ok(object)
}

/// The signal that ends a system call of a flood's thread. No library takes the last ones.
fn interruption() -> i32 {
    libc::SIGRTMAX() - 1
}

/// Gives that signal a handler that does nothing: by default it would end the process.
fn interruptible() -> std::io::Result<()> {
    extern "C" fn ignore(_signal: i32) {}
    // SAFETY: an action of zeroes has no flags (SA_RESTART would defeat it) and an empty mask; the handler does nothing, so
    // it may run at any time.
    let done = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        libc::sigaction(interruption(), &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
