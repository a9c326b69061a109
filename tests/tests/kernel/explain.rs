//! What `stopbank explain` says of the lists, against what the loaded program does with a packet from there.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use libtest_mimic::Trial;
use stopbank::{
    config::{ConfiguredLists, ListAction},
    datapath::{Datapath, Generation, monotonic_ns},
    explain::lists::{FileInForce, reason_for},
    lists::{
        Change, Item, ListName, Origin, Store,
        feeds::{Filed, PrefixSet},
    },
};
use stopbank_common::{
    Reason::{self, *},
    list::{VERDICT_ALLOW, VERDICT_DENY},
    policy::CLASS_NONE,
};
use stopbank_tests::frames::FrameBuilder;

use crate::rig::{self, Random, Rules, SLOT};

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial("explain: what it says of any lists is what the program does", differential)]
}

/// In a crowded part of the address space, so that they meet and nest.
fn prefix(random: &mut Random) -> IpNet {
    if random.below(3) > 0 {
        let address = 0x0b00_0000 + (random.below(6) << 8) as u32 + random.below(4) as u32;
        IpNet::new(IpAddr::V4(address.into()), [8, 16, 20, 23, 24, 25, 30, 31, 32][random.below(9)]).unwrap()
    } else {
        let address =
            0x2001_0db8_u128 << 96 | u128::from(random.next() & 0x3) << 64 | random.below(4) as u128;
        IpNet::new(IpAddr::V6(address.into()), [16, 32, 48, 63, 64, 65, 127, 128][random.below(8)]).unwrap()
    }
    .trunc()
}

fn near(prefix: IpNet, random: &mut Random) -> IpAddr {
    match prefix {
        IpNet::V4(v4) => IpAddr::V4((u32::from(v4.network()) + random.below(6) as u32).into()),
        IpNet::V6(v6) => IpAddr::V6((u128::from(v6.network()) + random.below(6) as u128).into()),
    }
}

fn make(datapath: &mut Datapath, changes: impl IntoIterator<Item = Change>) {
    for change in changes {
        match change.after {
            Some(entry) => datapath.list_insert(change.prefix, entry).unwrap(),
            None => drop(datapath.list_remove(change.prefix).unwrap()),
        }
    }
}

fn random_files(random: &mut Random) -> Vec<FileInForce> {
    let actions = [(ListAction::Allow, VERDICT_ALLOW), (ListAction::Deny, VERDICT_DENY)];
    (0..random.below(4))
        .map(|number| {
            let (action, verdict) = actions[random.below(2)];
            let mut set = PrefixSet::default();
            (0..random.below(40)).for_each(|_| set.push(prefix(random), verdict));
            set.finish();
            FileInForce { name: format!("file-{number}"), action, set: Arc::new(set) }
        })
        .collect()
}

fn step(
    datapath: &mut Datapath,
    store: &mut Store,
    files: &mut Vec<FileInForce>,
    known: &mut Vec<IpNet>,
    random: &mut Random,
) {
    let some = prefix(random);
    match random.below(10) {
        0 => {
            *files = random_files(random);
            let merged = PrefixSet::merge(files.iter().map(|file| &*file.set));
            let generation = (!merged.is_empty()).then(|| Generation::build(Arc::new(merged)).unwrap());
            datapath.install_lists(generation).unwrap();
            datapath.settle_lists().unwrap();
            known.extend(files.iter().flat_map(|file| file.set.v4().iter().map(Filed::net)));
            known.extend(files.iter().flat_map(|file| file.set.v6().iter().map(Filed::net)));
        }
        1 => {
            let configured = ConfiguredLists {
                allow: (0..random.below(4)).map(|_| prefix(random)).collect(),
                deny: (0..random.below(6)).map(|_| prefix(random)).collect(),
            };
            known.extend(configured.allow.iter().chain(&configured.deny));
            make(datapath, store.configure(&configured));
        }
        2..=3 if !known.is_empty() => {
            let prefix = known[random.below(known.len())];
            let list = [ListName::Allow, ListName::Ban][random.below(2)];
            if let Ok(change) = store.remove(list, prefix) {
                make(datapath, change);
            }
        }
        kind => {
            let list = if kind < 6 { ListName::Allow } else { ListName::Ban };
            // Over in an hour, never, or (as told to the store) long ago: the agent sweeps those away.
            let expires_ns = [None, Some(monotonic_ns() + 3_600_000_000_000), Some(1)][random.below(3)];
            let item = Item { expires_ns, until: None, added: None, reason: None, origin: Origin::Operator };
            known.push(some);
            make(datapath, store.add(list, some, item));
            make(datapath, store.expire(monotonic_ns()));
        }
    }
}

/// What the lists make of a frame, by what is counted without a class.
fn verdict(datapath: &Datapath, frame: &[u8]) -> Option<Reason> {
    let counted = || datapath.counters(SLOT, CLASS_NONE).unwrap();
    let before = counted();
    datapath.run(frame, 1).unwrap();
    let after = counted();
    [Allowed, Denied, Banned]
        .into_iter()
        .find(|reason| after.of(*reason).0.packets != before.of(*reason).0.packets)
}

fn differential() {
    let mut by_reason = std::collections::BTreeMap::<Option<Reason>, usize>::new();
    for seed in 0..8 {
        let mut random = Random(0xe3_71a1 + seed);
        let mut datapath = rig::load(Rules::new());
        let (mut store, mut files, mut known) = (Store::default(), Vec::new(), Vec::new());
        for number in 0..120 {
            step(&mut datapath, &mut store, &mut files, &mut known, &mut random);
            if number % 3 > 0 || known.is_empty() {
                continue;
            }
            for _ in 0..12 {
                let source = near(known[random.below(known.len())], &mut random);
                let destination = if source.is_ipv4() { "198.51.100.1" } else { "2001:db8:ffff::1" };
                let frame = FrameBuilder::new(source, destination).udp(1, 53).build();
                let kernel = verdict(&datapath, &frame.bytes);
                let told = reason_for(&store, &files, source, monotonic_ns());
                assert_eq!(told, kernel, "{source}, seed {seed}, step {number}");
                *by_reason.entry(told).or_default() += 1;
            }
        }
    }
    // Each kind was met, and often.
    assert!(by_reason.len() == 4 && by_reason.values().all(|count| *count > 50), "{by_reason:?}");
}
