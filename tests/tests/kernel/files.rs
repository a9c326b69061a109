//! Entries of list files in the kernel: the index, dynamic entries beside it, and generations that take turns.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use aya::programs::ProgramFd;
use ipnet::IpNet;
use libtest_mimic::Trial;
use stopbank::{
    datapath::{Datapath, Entry, Generation, monotonic_ns},
    lists::feeds::PrefixSet,
};
use stopbank_common::{
    Reason::{self, *},
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
    policy::CLASS_NONE,
};
use stopbank_tests::frames::FrameBuilder;

use crate::rig::{self, Random, Rules, SLOT};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial(
            "list files: any of them, beside any dynamic entries, as the longest prefix says",
            differential,
        ),
        crate::trial("list files: what both generations list is dropped all through sixty swaps", swaps),
        crate::trial("list files: a swap that is taken back leaves what was there", taken_back),
        crate::trial("list files: a wide ban over a large list is quick and small", wide_ban),
    ]
}

/// What a file and the dynamic entries say, one after the other.
#[derive(Default)]
struct Model {
    filed: Vec<(IpNet, u8)>,
    dynamic: Vec<(IpNet, Entry)>,
}

impl Model {
    fn reason(&self, source: IpAddr, now: u64) -> Option<Reason> {
        let filed = self.filed.iter().map(|(prefix, verdict)| (*prefix, *verdict));
        let alive = self.dynamic.iter().filter(|(_, entry)| entry.expires_ns == 0 || entry.expires_ns > now);
        filed
            .chain(alive.map(|(prefix, entry)| (*prefix, entry.verdict)))
            .filter(|(prefix, _)| prefix.contains(&source))
            .map(|(prefix, verdict)| {
                let reason = match verdict {
                    VERDICT_ALLOW => (2, Allowed),
                    VERDICT_BAN => (1, Banned),
                    _ => (0, Denied),
                };
                (prefix.prefix_len(), reason.0, reason.1)
            })
            .max_by_key(|(length, rank, _)| (*length, *rank))
            .map(|(.., reason)| reason)
    }

    fn generation(&self) -> Generation {
        generation(self.filed.iter().copied())
    }
}

fn generation(prefixes: impl Iterator<Item = (IpNet, u8)>) -> Generation {
    let mut set = PrefixSet::default();
    prefixes.for_each(|(prefix, verdict)| set.push(prefix, verdict));
    set.finish();
    Generation::build(Arc::new(set)).unwrap()
}

fn frame(source: IpAddr) -> Vec<u8> {
    let destination = if source.is_ipv4() { "198.51.100.1" } else { "2001:db8:ffff::1" };
    FrameBuilder::new(source, destination).udp(1, 53).build().bytes
}

const LISTED: [Reason; 3] = [Allowed, Denied, Banned];

/// What the lists say of a source, by what is counted without a class.
fn verdict(datapath: &Datapath, source: IpAddr) -> Option<Reason> {
    let counted = || datapath.counters(SLOT, CLASS_NONE).unwrap();
    let before = counted();
    datapath.run(&frame(source), 1).unwrap();
    let after = counted();
    LISTED.into_iter().find(|reason| after.of(*reason).0.packets != before.of(*reason).0.packets)
}

/// Prefixes in a crowded part of the address space, so that they meet and nest.
fn prefix(random: &mut Random) -> IpNet {
    if random.below(3) > 0 {
        let base = [0x0b00_0000, 0x0b00_0f00, 0x0b10_0000][random.below(3)];
        let address = base + random.below(0x1400) as u32;
        IpNet::new(IpAddr::V4(address.into()), 6 + random.below(27) as u8).unwrap().trunc()
    } else {
        let low = u128::from(random.next()) << [0, 20, 63][random.below(3)];
        let address = 0x2001_0db8_u128 + random.below(300) as u128;
        let bits = 14 + random.below(115) as u8;
        IpNet::new(IpAddr::V6((address << 96 | low & ((1 << 96) - 1)).into()), bits).unwrap().trunc()
    }
}

/// Addresses in and around a prefix.
fn near(prefix: IpNet, random: &mut Random) -> IpAddr {
    let pick = random.below(4);
    match prefix {
        IpNet::V4(v4) => {
            let (first, last) = (u32::from(v4.network()), u32::from(v4.broadcast()));
            let inner = first | random.next() as u32 & (last - first);
            IpAddr::V4([first, last, last.wrapping_add(1), inner][pick].into())
        }
        IpNet::V6(v6) => {
            let (first, last) = (u128::from(v6.network()), u128::from(v6.broadcast()));
            let inner = first | u128::from(random.next()) << 64 & (last - first);
            IpAddr::V6([first, last, last.wrapping_add(1), inner][pick].into())
        }
    }
}

fn differential() {
    for seed in 0..6 {
        let mut random = Random(0x5eed + seed);
        let mut datapath = rig::load(Rules::new());
        let mut model = Model::default();
        for step in 0..120 {
            step_at_random(&mut datapath, &mut model, &mut random, step);
            if step % 4 > 0 {
                continue;
            }
            let known: Vec<IpNet> = model
                .filed
                .iter()
                .map(|(prefix, _)| *prefix)
                .chain(model.dynamic.iter().map(|(p, _)| *p))
                .collect();
            for _ in 0..40.min(known.len()) {
                let source = near(known[random.below(known.len())], &mut random);
                let expected = model.reason(source, monotonic_ns());
                assert_eq!(verdict(&datapath, source), expected, "{source}, seed {seed}, step {step}");
            }
        }
    }
}

fn step_at_random(datapath: &mut Datapath, model: &mut Model, random: &mut Random, step: usize) {
    match random.below(12) {
        0 => {
            let many = [0, 5, 150][random.below(3)];
            model.filed.clear();
            for _ in 0..many {
                let (prefix, verdict) = (prefix(random), [VERDICT_ALLOW, VERDICT_DENY][random.below(2)]);
                // Of the same prefix only one: which one holds is the set's business.
                if model.filed.iter().all(|(other, _)| *other != prefix) {
                    model.filed.push((prefix, verdict));
                }
            }
            datapath.install_lists((many > 0 || step.is_multiple_of(2)).then(|| model.generation())).unwrap();
            datapath.settle_lists().unwrap();
        }
        1..=3 if !model.dynamic.is_empty() => {
            let (prefix, _) = model.dynamic.swap_remove(random.below(model.dynamic.len()));
            assert!(datapath.list_remove(prefix).unwrap());
        }
        kind => {
            // As likely one that a file has as another; sometimes many at once.
            let count = if kind == 11 { 40 } else { 1 };
            for _ in 0..count {
                let prefix = match model.filed.len() {
                    some if some > 0 && random.below(3) == 0 => model.filed[random.below(some)].0,
                    _ => prefix(random),
                };
                let verdict = [VERDICT_ALLOW, VERDICT_DENY, VERDICT_BAN][random.below(3)];
                // Expired long ago, or not for long: the clock is not waited for here. At most three lie around another
                // that has expired, or the program would not look past all of them.
                let around = |other: &&(IpNet, Entry)| other.0.contains(&prefix) || prefix.contains(&other.0);
                let expired =
                    model.dynamic.iter().filter(around).filter(|(_, entry)| entry.expires_ns == 1).count();
                let expires_ns = if expired == 0 { [0, 1, u64::MAX][random.below(3)] } else { 0 };
                let entry = Entry { verdict, expires_ns };
                model.dynamic.retain(|(other, _)| *other != prefix);
                model.dynamic.push((prefix, entry));
                datapath.list_insert(prefix, entry).unwrap();
            }
        }
    }
}

/// Runs a frame through the program many times, as another thread can while the maps change hands.
fn run(program: &ProgramFd, frame: &[u8], repeat: u32) {
    /// `union bpf_attr` for `BPF_PROG_TEST_RUN`.
    #[repr(C)]
    #[derive(Default)]
    struct TestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        rest: [u64; 4],
    }
    const BPF_PROG_TEST_RUN: libc::c_long = 10;
    let mut attribute = TestRun {
        prog_fd: program.as_fd().as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr().expose_provenance() as u64,
        repeat,
        ..TestRun::default()
    };
    // SAFETY: the attribute is as large as is said, and the frame lives through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attribute, size_of::<TestRun>()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn swaps() {
    let always: Vec<IpNet> = ["11.1.2.3/32", "11.2.0.0/16", "2001:db8:7::/48", "2a00::/12"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let sources = ["11.1.2.3", "11.2.3.4", "2001:db8:7::1", "2a01::1"].map(rig::ip);
    let mut datapath = rig::load(Rules::new());
    let program = datapath.program_fd().unwrap();
    // Neighbours come and go, so that leaves and their numbers differ from one generation to the next.
    let make = |turn: u32| {
        let others = (0..turn % 50).flat_map(move |i| {
            let v4 = IpAddr::V4((0x0b01_0000 | (i << 8) | (turn % 256)).into());
            let v6 = IpAddr::V6(((0x2001_0db8_0008_u128 + u128::from(i)) << 80).into());
            [(IpNet::new(v4, 32).unwrap(), VERDICT_ALLOW), (IpNet::new(v6, 48).unwrap(), VERDICT_ALLOW)]
        });
        let listed = |(prefix, _): &(IpNet, u8)| always.iter().all(|one| !prefix.contains(one));
        generation(always.iter().map(|prefix| (*prefix, VERDICT_DENY)).chain(others.filter(listed)))
    };
    datapath.install_lists(Some(make(0))).unwrap();
    let stop = AtomicBool::new(false);
    let flood = || {
        let frames = sources.map(frame);
        let mut packets = 0;
        while !stop.load(Ordering::Relaxed) {
            for frame in &frames {
                run(&program, frame, 200);
                packets += 200;
            }
        }
        packets
    };
    let sent: u64 = thread::scope(|scope| {
        let flood = scope.spawn(flood);
        for turn in 1..=60 {
            datapath.install_lists(Some(make(turn))).unwrap();
            let ban = Entry { verdict: VERDICT_BAN, expires_ns: 0 };
            let neighbour = "11.1.2.4/32".parse().unwrap();
            if turn % 3 == 0 {
                datapath.list_insert(neighbour, ban).unwrap();
                datapath.list_remove(neighbour).unwrap();
            }
            datapath.settle_lists().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    let denied = datapath.counters(SLOT, CLASS_NONE).unwrap().of(Denied).0.packets;
    assert_eq!(denied, sent, "every packet of the flood was denied");
    assert!(sent > 10_000, "only {sent} packets");
}

fn taken_back() {
    let mut datapath = rig::load(Rules::new());
    let deny = |text: &str| generation([(text.parse().unwrap(), VERDICT_DENY)].into_iter());
    datapath.install_lists(Some(deny("11.0.0.0/8"))).unwrap();
    datapath.settle_lists().unwrap();
    datapath
        .list_insert("11.1.0.0/16".parse().unwrap(), Entry { verdict: VERDICT_ALLOW, expires_ns: 0 })
        .unwrap();
    datapath.install_lists(Some(deny("12.0.0.0/8"))).unwrap();
    assert_eq!(verdict(&datapath, rig::ip("11.2.0.1")), None);
    assert_eq!(verdict(&datapath, rig::ip("12.2.0.1")), Some(Denied));
    assert_eq!(verdict(&datapath, rig::ip("11.1.0.1")), Some(Allowed));
    datapath.revert_lists().unwrap();
    assert_eq!(verdict(&datapath, rig::ip("11.2.0.1")), Some(Denied));
    assert_eq!(verdict(&datapath, rig::ip("12.2.0.1")), None);
    assert_eq!(verdict(&datapath, rig::ip("11.1.0.1")), Some(Allowed));
    datapath.install_lists(None).unwrap();
    datapath.settle_lists().unwrap();
    assert_eq!(verdict(&datapath, rig::ip("11.2.0.1")), None);
    assert_eq!(verdict(&datapath, rig::ip("11.1.0.1")), Some(Allowed));
    assert!(datapath.list_remove("11.1.0.0/16".parse().unwrap()).unwrap());
    assert_eq!(verdict(&datapath, rig::ip("11.1.0.1")), None);
}

fn wide_ban() {
    let mut random = Random(1);
    let mut datapath = rig::load(Rules::new());
    let addresses = (0..200_000).map(|_| (random.next() >> 32) as u32 & 0x1fff_ffff | 0x2000_0000);
    let prefixes =
        addresses.map(|address| (IpNet::new(IpAddr::V4(address.into()), 32).unwrap(), VERDICT_ALLOW));
    let prefixes: Vec<_> = prefixes.collect();
    datapath.install_lists(Some(generation(prefixes.iter().copied()))).unwrap();
    datapath.settle_lists().unwrap();
    let begin = std::time::Instant::now();
    let ban: IpNet = "33.0.0.0/8".parse().unwrap();
    datapath.list_insert(ban, Entry { verdict: VERDICT_BAN, expires_ns: 0 }).unwrap();
    let took = begin.elapsed();
    assert!(took.as_millis() < 500, "it took {took:?}");
    let (inside, _) = prefixes.iter().find(|(prefix, _)| ban.contains(prefix)).unwrap();
    assert_eq!(verdict(&datapath, inside.addr()), Some(Allowed), "the longer prefix");
    let beside = (0..)
        .map(|i| rig::ip(&format!("33.7.0.{i}")))
        .find(|ip| prefixes.iter().all(|(p, _)| p.addr() != *ip));
    assert_eq!(verdict(&datapath, beside.unwrap()), Some(Banned));
    assert!(datapath.list_remove(ban).unwrap());
    assert_eq!(verdict(&datapath, beside.unwrap()), None);
    assert_eq!(verdict(&datapath, inside.addr()), Some(Allowed));
}
