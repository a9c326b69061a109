//! From the configuration to the policy as the kernel reads it.

use stopbank_common::{
    Address, Plain,
    gcra::{Dimension, Limit, LimitError},
    hash::class_salt,
    parse::protocol,
    policy::{
        CLASS_DEFAULT, CLASS_NONE, Class as KernelClass, FRAGMENTS_DROP, FRAGMENTS_JUDGE, Kept, Limits,
        MAX_CLASSES, MAX_INTERFACES, MODE_ENFORCE, MODE_OBSERVE, Policy,
    },
};

use super::{
    model::{Claim, Class, Config, Fragments, LimitSet, Mode, PortRange},
    rate::RateLimit,
};

/// First class number that is the operator's.
const FIRST: usize = CLASS_DEFAULT as usize + 1;

/// A configuration in the kernel's form.
pub struct Compiled {
    /// What packets are judged by; 140 KB, and never on a stack.
    pub policy: Box<Policy>,
    /// What the next agent must find: the key as it was, and the numbers of the classes.
    pub kept: Kept,
    /// The same numbers, by name.
    pub numbers: ClassNumbers,
}

/// The classes of a policy by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassNumbers {
    names: Vec<(u8, String)>,
}

impl ClassNumbers {
    /// Every class that has a number, with `none` and `default`, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &str)> {
        self.names.iter().map(|(number, name)| (*number, name.as_str()))
    }

    /// The name of a class; a number that no class has any more is an earlier policy's.
    pub fn name(&self, number: u8) -> &str {
        self.iter().find(|(candidate, _)| *candidate == number).map_or("gone", |(_, name)| name)
    }

    /// The number of a class.
    pub fn number(&self, name: &str) -> Option<u8> {
        self.iter().find(|(_, candidate)| *candidate == name).map(|(number, _)| number)
    }
}

/// Compiles a configuration. `kept` is what earlier policies left: a class that had a number keeps it, and with it its
/// counters and rate state, whatever place it has in the file. `interfaces` are interface indices by counter slot.
///
/// # Errors
///
/// [`LimitError`] when a limit is outside what the kernel's arithmetic can hold; never for a [`Config`] that was read
/// from a file.
pub fn compile(
    config: &Config,
    kept: &Kept,
    interfaces: [u32; MAX_INTERFACES],
) -> Result<Compiled, LimitError> {
    let (kept, numbers) = number(config, kept);
    let mut policy: Box<Policy> = zeroed();
    policy.mode = mode(config.mode);
    policy.fragments = match config.fragments {
        Fragments::Judge => FRAGMENTS_JUDGE,
        Fragments::Drop => FRAGMENTS_DROP,
    };
    policy.mask_v4 = Address::mask(96 + u32::from(config.source.ipv4_prefix));
    policy.mask_v6 = Address::mask(u32::from(config.source.ipv6_prefix));
    policy.key = kept.key;
    policy.events =
        RateLimit { rate: config.events, burst: config.events.count }.to_limit(Dimension::Packets)?;
    policy.interfaces = interfaces;
    policy.by_protocol.fill(CLASS_DEFAULT);
    policy.by_tcp_port.fill(CLASS_DEFAULT);
    policy.by_udp_port.fill(CLASS_DEFAULT);
    for class in config.all_classes() {
        let number = numbers.number(&class.name).unwrap_or(CLASS_DEFAULT);
        policy.classes[usize::from(number)] = kernel_class(class)?;
        claim(&mut policy, number, &class.claim);
    }
    Ok(Compiled { policy, kept, numbers })
}

/// The kernel's number of a mode.
pub(crate) const fn mode(mode: Mode) -> u32 {
    match mode {
        Mode::Observe => MODE_OBSERVE,
        Mode::Enforce => MODE_ENFORCE,
    }
}

/// All zero, made on the heap.
#[expect(unsafe_code, reason = "the one way to a large value that never lies on a stack")]
fn zeroed<T: Plain>() -> Box<T> {
    // SAFETY: `T` is Plain, so that every bit pattern is a value of it, all zero included.
    unsafe { Box::<T>::new_zeroed().assume_init() }
}

/// Gives every class its number: the one that it had, else one that was never given, else one whose class is gone.
fn number(config: &Config, kept: &Kept) -> (Kept, ClassNumbers) {
    let mut kept = *kept;
    kept.salts[usize::from(CLASS_NONE)] = class_salt(Config::NO_CLASS);
    kept.salts[usize::from(CLASS_DEFAULT)] = class_salt(Config::DEFAULT_CLASS);
    let wanted: Vec<u32> = config.classes.iter().map(|class| class_salt(&class.name)).collect();
    let mut names =
        vec![(CLASS_NONE, Config::NO_CLASS.to_owned()), (CLASS_DEFAULT, Config::DEFAULT_CLASS.to_owned())];
    for (class, &salt) in config.classes.iter().zip(&wanted) {
        let find = |is: &dyn Fn(u32) -> bool| (FIRST..MAX_CLASSES).find(|&number| is(kept.salts[number]));
        let number = find(&|kept| kept == salt)
            .or_else(|| find(&|kept| kept == 0))
            .or_else(|| find(&|kept| !wanted.contains(&kept)));
        // The configuration holds no more classes than there are numbers.
        let Some(number) = number else { continue };
        kept.salts[number] = salt;
        names.push((number as u8, class.name.clone()));
    }
    (kept, ClassNumbers { names })
}

fn kernel_class(class: &Class) -> Result<KernelClass, LimitError> {
    Ok(KernelClass {
        per_source: limits(&class.per_source)?,
        total: limits(&class.total)?,
        salt: class_salt(&class.name),
        closed: u32::from(class.closed),
        reserved: [0; 3],
    })
}

fn limits(set: &LimitSet) -> Result<Limits, LimitError> {
    let mut limits = [Limit::NONE; 3];
    for dimension in Dimension::ALL {
        if let Some(limit) = set.get(dimension) {
            limits[dimension as usize] = limit.to_limit(dimension)?;
        }
    }
    Ok(limits)
}

fn claim(policy: &mut Policy, number: u8, claim: &Claim) {
    let ports = |table: &mut [u8; 65_536], ranges: &[PortRange]| {
        if ranges.is_empty() {
            // What is left, whichever of the classes comes first in the file.
            table.iter_mut().filter(|class| **class == CLASS_DEFAULT).for_each(|class| *class = number);
        }
        for range in ranges {
            table[usize::from(range.first)..=usize::from(range.last)].fill(number);
        }
    };
    match claim {
        Claim::Rest => {}
        Claim::Tcp(ranges) => ports(&mut policy.by_tcp_port, ranges),
        Claim::Udp(ranges) => ports(&mut policy.by_udp_port, ranges),
        Claim::Icmp => {
            policy.by_protocol[usize::from(protocol::ICMP)] = number;
            policy.by_protocol[usize::from(protocol::ICMPV6)] = number;
        }
        Claim::Protocol(protocol) => policy.by_protocol[usize::from(*protocol)] = number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use proptest::prelude::*;

    fn compiled(text: &str, kept: &Kept) -> Compiled {
        compile(&parse("test", text).unwrap(), kept, [0; MAX_INTERFACES]).unwrap()
    }

    fn classes(names: &[&str]) -> String {
        names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                format!("[[class]]\nname = \"{name}\"\nprotocol = \"tcp\"\nports = [{}]\n", i + 1)
            })
            .collect()
    }

    #[test]
    fn the_policy_says_what_the_file_says() {
        let text = r#"
            mode = "observe"
            fragments = "drop"
            source = { ipv4_prefix = 24, ipv6_prefix = 48 }
            [default]
            per_source = { packets = "12/m" }
            [[class]]
            name = "web"
            protocol = "tcp"
            ports = [80, "8000-8010"]
            total = { bytes = { rate = "1MB/s", burst = "2MB" } }
            [[class]]
            name = "udp"
            protocol = "udp"
            closed = true
            [[class]]
            name = "dns"
            protocol = "udp"
            ports = [53]
            [[class]]
            name = "ping"
            protocol = "icmp"
            [[class]]
            name = "gre"
            protocol = 47
        "#;
        let mut kept = Kept::default();
        kept.key.words = [1, 2, 3, 4, 5, 6];
        let Compiled { policy, numbers, .. } = compiled(text, &kept);
        let n = |name| numbers.number(name).unwrap();
        assert_eq!((policy.mode, policy.fragments), (MODE_OBSERVE, FRAGMENTS_DROP));
        assert_eq!((policy.mask_v4, policy.mask_v6), (Address::mask(120), Address::mask(48)));
        assert_eq!(policy.key.words, kept.key.words);
        assert_eq!(policy.by_tcp_port[80], n("web"));
        assert_eq!((policy.by_tcp_port[7999], policy.by_tcp_port[8011]), (CLASS_DEFAULT, CLASS_DEFAULT));
        assert_eq!((policy.by_tcp_port[8000], policy.by_tcp_port[8010]), (n("web"), n("web")));
        assert_eq!((policy.by_udp_port[53], policy.by_udp_port[54]), (n("dns"), n("udp")));
        assert_eq!((policy.by_protocol[1], policy.by_protocol[58]), (n("ping"), n("ping")));
        assert_eq!((policy.by_protocol[47], policy.by_protocol[50]), (n("gre"), CLASS_DEFAULT));
        assert_eq!(policy.classes[usize::from(n("udp"))].closed, 1);
        let class = &policy.classes[usize::from(n("web"))];
        assert_eq!(
            class.total[Dimension::Bytes as usize],
            Limit::new(1_000_000, 1_000_000_000, 2_000_000, 65_535).unwrap()
        );
        assert!(!class.per_source.iter().any(Limit::is_set));
        assert_eq!(class.salt, class_salt("web"));
        assert_eq!(policy.classes[1].per_source[0], Limit::new(12, 60_000_000_000, 1, 1).unwrap());
    }

    #[test]
    fn a_class_keeps_its_number_wherever_it_moves() {
        let first = compiled(&classes(&["a", "b", "c"]), &Kept::default());
        let second = compiled(&classes(&["d", "c", "a"]), &first.kept);
        for name in ["a", "c"] {
            assert_eq!(first.numbers.number(name), second.numbers.number(name), "{name}");
        }
        assert_eq!(
            second.numbers.number("d"),
            Some(5),
            "a number that b had is not taken while others are free"
        );
        let third = compiled(&classes(&["b"]), &second.kept);
        assert_eq!(third.numbers.number("b"), first.numbers.number("b"));
    }

    #[test]
    fn numbers_of_classes_that_are_gone_are_used_again_when_there_are_no_others() {
        let old: Vec<String> = (0..62).map(|i| format!("old{i}")).collect();
        let new: Vec<String> = (0..62).map(|i| format!("new{i}")).collect();
        let names = |list: &[String]| classes(&list.iter().map(String::as_str).collect::<Vec<_>>());
        let first = compiled(&names(&old), &Kept::default());
        let second = compiled(&names(&new), &first.kept);
        let mut numbers: Vec<u8> = second.numbers.iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..64).collect::<Vec<u8>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn numbers_are_stable_and_unique_over_any_history(
            history in prop::collection::vec(prop::collection::btree_set(0_u8..80, 0..62), 1..8)
        ) {
            let mut kept = Kept::default();
            let mut last: Option<ClassNumbers> = None;
            for set in history {
                let names: Vec<String> = set.iter().map(|i| format!("class{i}")).collect();
                let text = classes(&names.iter().map(String::as_str).collect::<Vec<_>>());
                let compiled = compiled(&text, &kept);
                let mut numbers: Vec<u8> = compiled.numbers.iter().map(|(number, _)| number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                prop_assert_eq!(numbers.len(), names.len() + 2);
                if let Some(last) = &last {
                    for name in &names {
                        if let Some(before) = last.number(name) {
                            prop_assert_eq!(compiled.numbers.number(name), Some(before));
                        }
                    }
                }
                kept = compiled.kept;
                last = Some(compiled.numbers);
            }
        }
    }
}
