//! Sends floods: frames made in the kernel by the program in `ebpf/src/bin/traffic.rs`, by one CPU.

use std::{
    mem,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Array, PerCpuArray},
    programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions, Xdp},
};
use stopbank_common::parse::protocol;

use crate::{
    frames::{Frame, FrameBuilder, SHORTEST, internet_checksum},
    netns::{self, Namespace},
};

#[path = "../../ebpf/src/bin/traffic/settings.rs"]
mod settings;

use settings::{SOURCE_AT, Settings};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/traffic-xdp"));

const PROGRAM: &str = "flood";
const SETTINGS: &str = "FLOOD";
const SENT: &str = "SENT";

/// Frames that the kernel makes and sends at once, with software interrupts held off. Well below the 256 that a veth's
/// receive queue holds.
const BATCH: u32 = 64;
/// Frames for each system call when the flood is not paced. A call sets up a page pool first, which 65,536 frames make up
/// for; each takes some ten milliseconds, so that a flood ends soon after it is told to.
const UNPACED: u32 = 65_536;
/// How long one burst of a paced flood is to last.
const PACED_EVERY: Duration = Duration::from_millis(2);

// SAFETY: repr(C), eight u32, no padding.
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
    /// Ends by itself after this long.
    pub at_most: Duration,
    /// The CPU that sends; the last one if `None`.
    pub cpu: Option<usize>,
}

/// A flood under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Flood {
    /// Sends it from `namespace` out of the interface with the index `interface`.
    ///
    /// # Errors
    ///
    /// Without root, or when the program was not built or is not taken by the kernel.
    pub fn start(&self, namespace: &Namespace, interface: u32) -> Result<Running> {
        let (frame, settings) = self.template(interface)?;
        let inside = namespace.handle()?;
        let cpu = match self.cpu {
            Some(cpu) => cpu,
            None => thread::available_parallelism()?.get() - 1,
        };
        let mut sender = Sender {
            object: load(&settings)?,
            frame,
            pace: self.pace,
            at_most: self.at_most,
            stop: Arc::default(),
            sent: Arc::default(),
        };
        let (stop, sent) = (Arc::clone(&sender.stop), Arc::clone(&sender.sent));
        let (started, has_started) = mpsc::channel();
        let thread = thread::Builder::new().name("flood".to_owned()).spawn(move || {
            netns::enter(inside.as_raw_fd()).context("cannot enter the flood's namespace")?;
            settle(cpu).context("cannot pin the flood to its CPU")?;
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
    fn template(&self, interface: u32) -> Result<(Frame, Settings)> {
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
        let port_at = if matches!(number, protocol::TCP | protocol::UDP) { frame.transport } else { 0 };
        let mut settings = Settings {
            interface,
            first_source: u32::from_be_bytes(first),
            sources: self.sources,
            port_at: port_at as u32,
            header_checksum_at: if v4 { 24 } else { 0 },
            transport_checksum_at: checksum_at as u32,
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
    /// Frames handed to the interface so far; at most a few milliseconds behind.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it and says how many frames were handed to the interface, exactly.
    ///
    /// # Errors
    ///
    /// When sending failed.
    pub fn stop(mut self) -> Result<u64> {
        self.end()
    }

    fn end(&mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(sent)) => sent,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(self.sent()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever drops it does not ask for the count, nor for why it failed.
            let _ended = thread.join();
        }
    }
}

struct Sender {
    object: Ebpf,
    frame: Frame,
    pace: Option<u64>,
    at_most: Duration,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Sender {
    fn run(&mut self) -> Result<u64> {
        let begin = Instant::now();
        let mut sent = self.sent()?;
        while !self.stop.load(Ordering::Relaxed) && begin.elapsed() < self.at_most {
            match self.pace {
                None => self.send(UNPACED)?,
                Some(pace) => {
                    let due = (begin.elapsed().as_secs_f64() * pace as f64) as u64;
                    // Whoever cannot keep up does not try to catch up either.
                    let burst = due.saturating_sub(sent).min(u64::from(UNPACED)) as u32;
                    if burst < BATCH {
                        thread::sleep(PACED_EVERY);
                        continue;
                    }
                    self.send(burst)?;
                }
            }
            sent = self.sent()?;
            self.sent.store(sent, Ordering::Relaxed);
        }
        Ok(sent)
    }

    fn send(&mut self, frames: u32) -> Result<()> {
        let program: &Xdp = self.object.program(PROGRAM).context("the flood program is gone")?.try_into()?;
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        match program.test_run(options) {
            Ok(_) => Ok(()),
            // The signals are blocked here, but a debugger's stop interrupts too. What was sent is counted.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::Interrupted =>
            {
                Ok(())
            }
            Err(error) => Err(error).context("cannot send frames by BPF_PROG_TEST_RUN"),
        }
    }

    fn sent(&self) -> Result<u64> {
        let counts: PerCpuArray<_, u64> =
            self.object.map(SENT).context("no map of what was sent")?.try_into()?;
        Ok(counts.get(&0, 0)?.iter().sum())
    }
}

fn load(settings: &Settings) -> Result<Ebpf> {
    ensure!(!OBJECT.is_empty(), "built without the flood program: run `cargo xtask build`");
    let mut object = Ebpf::load(OBJECT).context("the kernel refuses the flood's maps")?;
    let mut map: Array<_, Settings> = object.map_mut(SETTINGS).context("no map of settings")?.try_into()?;
    map.set(0, settings, 0)?;
    let program: &mut Xdp = object.program_mut(PROGRAM).context("no flood program")?.try_into()?;
    program.load().context("the kernel refuses the flood program")?;
    Ok(object)
}

/// Pins the calling thread to a CPU and blocks its signals, which would cut runs short.
fn settle(cpu: usize) -> std::io::Result<()> {
    // SAFETY: a set of zeroes is an empty one, CPU_SET checks its bounds, and the kernel reads a whole set.
    let pinned = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    if pinned != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the set is filled before it is read.
    unsafe {
        let mut all = mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
    Ok(())
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
