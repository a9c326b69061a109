//! The loaded program, a policy to run frames under, and a way to see what was counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use stopbank::datapath::{Datapath, Options};
use stopbank_common::{
    Address, Reason,
    counters::{Counters, Tally},
    gcra::{Dimension, Limit, MAX_UNITS},
    hash::class_salt,
    policy::{CLASS_CLOSED, CLASS_DEFAULT, Level, MAX_CLASSES, MAX_INTERFACES, MODE_ENFORCE, Policy, Region},
};

/// `XDP_DROP`.
pub(crate) const DROP: u32 = 1;
/// `XDP_PASS`.
pub(crate) const PASS: u32 = 2;

/// Slot in which frames of BPF_PROG_TEST_RUN are counted: they come in on the loopback device, index 1.
pub(crate) const SLOT: u32 = 1;

/// Lines of the table of sources, as [`Options::default`] has them.
pub(crate) const LINES: u32 = 1 << 14;

/// A policy in the making.
pub(crate) struct Rules {
    pub(crate) policy: Box<Policy>,
}

impl Rules {
    /// Everything in the default class, without limits, enforced.
    pub(crate) fn new() -> Self {
        // SAFETY: a Policy is `Plain`: all zeroes are a valid one.
        let mut policy = unsafe { Box::<Policy>::new_zeroed().assume_init() };
        policy.mode = MODE_ENFORCE;
        policy.levels[0] = Level { mask_v4: Address::mask(128), mask_v6: Address::mask(64) };
        policy.fragments_class = u32::from(CLASS_DEFAULT);
        policy.udp_class = u32::from(CLASS_DEFAULT);
        policy.answers_class = u32::from(CLASS_DEFAULT);
        policy.interfaces[SLOT as usize] = 1;
        policy.by_protocol.fill(CLASS_DEFAULT);
        policy.by_tcp_port.fill(CLASS_DEFAULT);
        policy.by_udp_port.fill(CLASS_DEFAULT);
        for (number, class) in policy.classes.iter_mut().enumerate() {
            class.salt = class_salt(&format!("class {number}"));
            class.regions =
                [Region { base: 0, mask: LINES - 1 }, Region { base: LINES, mask: LINES / 8 - 1 }];
        }
        Self { policy }
    }

    pub(crate) fn per_source(mut self, class: u8, dimension: Dimension, limit: Limit) -> Self {
        self.policy.classes[usize::from(class)].per_source[0][dimension as usize] = limit;
        self.policy.classes[usize::from(class)].levels |= 0x101;
        self
    }

    pub(crate) fn total(mut self, class: u8, dimension: Dimension, limit: Limit) -> Self {
        self.policy.classes[usize::from(class)].total[dimension as usize] = limit;
        self
    }

    pub(crate) fn tcp(mut self, port: u16, class: u8) -> Self {
        self.policy.by_tcp_port[usize::from(port)] = class;
        self
    }

    pub(crate) fn udp(mut self, port: u16, class: u8) -> Self {
        self.policy.by_udp_port[usize::from(port)] = class;
        self
    }

    pub(crate) fn protocol(mut self, protocol: u8, class: u8) -> Self {
        self.policy.by_protocol[usize::from(protocol)] = class;
        self
    }

    /// What is judged so passes, and is counted as observed.
    pub(crate) fn observe(mut self, reason: Reason) -> Self {
        self.policy.observed |= 1 << reason as u32;
        self
    }

    pub(crate) fn closed(mut self, class: u8) -> Self {
        self.policy.classes[usize::from(class)].flags |= CLASS_CLOSED;
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.policy.mode = mode;
        self
    }

    pub(crate) fn fragments(mut self, fragments: u32) -> Self {
        self.policy.fragments = fragments;
        self
    }

    pub(crate) fn events(mut self, limit: Limit) -> Self {
        self.policy.events = limit;
        self
    }
}

/// `count` units a second, `burst` at once.
pub(crate) fn per_second(count: u64, burst: u64) -> Limit {
    Limit::new(count, 1_000_000_000, burst, MAX_UNITS).unwrap()
}

/// Whoever is to tell which maps are its own loads alone. All others load beside each other: the verifier takes most of what a test takes.
static LOADING: RwLock<()> = RwLock::new(());

/// A program of our own with this policy in force.
pub(crate) fn load(rules: Rules) -> Datapath {
    let mut datapath = load_without_policy();
    install(&mut datapath, rules);
    datapath
}

/// A program of our own that no policy was given to.
pub(crate) fn load_without_policy() -> Datapath {
    let _beside_others = LOADING.read().unwrap_or_else(PoisonError::into_inner);
    private()
}

/// [`load`], and the ids of the maps that came with it.
pub(crate) fn load_and_tell(rules: Rules) -> (Datapath, BTreeSet<u32>) {
    let alone = LOADING.write().unwrap_or_else(PoisonError::into_inner);
    let before = map_memory();
    let mut datapath = private();
    let maps = map_memory().into_keys().filter(|id| !before.contains_key(id)).collect();
    drop(alone);
    install(&mut datapath, rules);
    (datapath, maps)
}

fn private() -> Datapath {
    Datapath::private(&Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Kernel memory in bytes of every map that this process holds, by the map's id.
pub(crate) fn map_memory() -> BTreeMap<u32, u64> {
    let mut memory = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let number = |key| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        if let (Some(id), Some(bytes)) = (number("map_id:"), number("memlock:")) {
            memory.insert(id as u32, bytes);
        }
    }
    memory
}

/// Puts the policy in force, under the key that the maps were made with.
pub(crate) fn install(datapath: &mut Datapath, mut rules: Rules) {
    rules.policy.key = datapath.kept().unwrap().key;
    datapath.install(&mut rules.policy).unwrap();
}

/// Everything that was counted: by interface slot, class and reason, judged and observed.
pub(crate) fn all_counters(datapath: &Datapath) -> Vec<(u32, u8, Counters)> {
    let mut all = Vec::new();
    for slot in 0..MAX_INTERFACES as u32 {
        for class in 0..MAX_CLASSES as u8 {
            all.push((slot, class, datapath.counters(slot, class).unwrap()));
        }
    }
    all
}

/// What was counted between two looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counted {
    pub(crate) slot: u32,
    pub(crate) class: u8,
    pub(crate) reason: Reason,
    pub(crate) observed: bool,
    pub(crate) tally: Tally,
}

pub(crate) fn difference(before: &[(u32, u8, Counters)], after: &[(u32, u8, Counters)]) -> Vec<Counted> {
    let mut counted = Vec::new();
    for ((slot, class, before), (_, _, after)) in before.iter().zip(after) {
        for &reason in Reason::ALL {
            let (old, new) = (before.of(reason), after.of(reason));
            for (observed, old, new) in [(false, old.0, new.0), (true, old.1, new.1)] {
                if old != new {
                    let tally = Tally { packets: new.packets - old.packets, bytes: new.bytes - old.bytes };
                    counted.push(Counted { slot: *slot, class: *class, reason, observed, tally });
                }
            }
        }
    }
    counted
}

/// Packets counted under a reason as really judged so, in every slot and class.
pub(crate) fn packets(datapath: &Datapath, reason: Reason) -> u64 {
    all_counters(datapath).iter().map(|(_, _, counters)| counters.of(reason).0.packets).sum()
}

/// Packets counted at all.
pub(crate) fn everything(datapath: &Datapath) -> u64 {
    let sum = |counters: &Counters| -> u64 {
        counters.judged.iter().chain(&counters.observed).map(|tally| tally.packets).sum()
    };
    all_counters(datapath).iter().map(|(_, _, counters)| sum(counters)).sum()
}

/// Runs a frame once: the action, and the one thing that was counted.
pub(crate) fn judge(datapath: &Datapath, frame: &[u8]) -> (u32, Counted) {
    let before = all_counters(datapath);
    let run = datapath.run(frame, 1).unwrap();
    let counted = difference(&before, &all_counters(datapath));
    assert_eq!(counted.len(), 1, "counted under one reason, not {counted:?}");
    assert_eq!(counted[0].tally, Tally { packets: 1, bytes: frame.len() as u64 }, "{counted:?}");
    (run.action, counted[0])
}

/// A lock that a failed test does not poison for the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A small generator of random numbers (splitmix64), so that a failing run can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_ne_bytes()[..chunk.len()]);
        }
    }
}
