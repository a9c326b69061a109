//! From the configuration to the policy as the kernel reads it.

use std::time::Duration;

use stopbank_common::{
    Address, Plain, Reason,
    gcra::{Dimension, Limit, LimitError, MAX_UNITS},
    hash::class_salt,
    parse::protocol,
    policy::{
        CLASS_CLOSED, CLASS_DEFAULT, CLASS_FIRM_TOTAL, CLASS_NONE, CLASS_OBSERVE, CLASS_PRECISE,
        Class as KernelClass, FRAGMENTS_DROP, FRAGMENTS_JUDGE, Handshake, Kept, Limits, MAX_CLASSES,
        MAX_INTERFACES, MODE_ENFORCE, MODE_OBSERVE, Policy, ROLE_ANY, ROLE_GATEWAY, ROLE_HOST, Region,
    },
    signature::Signature,
};

use super::{
    cookies,
    model::{Claim, Class, Config, Fragments, LimitSet, Mode, PortRange, PrefixLength, Role, SignatureRule},
    rate::{LEAST_DEFAULT_BYTES, RateLimit},
    signatures::{self, SignatureCounters},
    tunnels,
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
    /// Where the matches of signatures are counted, by name.
    pub counters: SignatureCounters,
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

/// What a policy must know of the host that it is for.
#[derive(Clone, Copy, Default, Debug)]
pub struct Host {
    /// Interface indices by counter slot.
    pub interfaces: [u32; MAX_INTERFACES],
    /// The host forwards packets, which belong to no socket of its own.
    pub forwards: bool,
    /// How the host's kernel takes SYN cookies that it did not send; `None`: not at all.
    pub handshake: Option<Handshake>,
}

/// Lines of the table of sources: those that the configuration names, and one eighth as many each for prefixes and for
/// classes with slow limits.
pub const fn source_lines(lines: u32) -> u32 {
    lines + lines / 8 * 2
}

/// A limit that allows fewer than so many units a second is slow. A flood of random sources pushes what it shares with
/// others forward by whole steps of its own limit, so that slow and fast ones must share nothing.
const SLOW_PER_SECOND: u64 = 20;
/// A limit whose whole burst is refilled in less is too fine for the kernel's tick (10 ms at most).
const PRECISE_BELOW: Duration = Duration::from_millis(400);

/// Compiles a configuration. `kept` is what earlier policies left: a class that had a number keeps it, and with it its
/// counters and rate state, whatever place it has in the file.
///
/// # Errors
///
/// [`LimitError`] when a limit is outside what the kernel's arithmetic can hold; never for a [`Config`] that was read
/// from a file.
pub fn compile(config: &Config, kept: &Kept, host: &Host) -> Result<Compiled, LimitError> {
    let (mut kept, numbers) = number(config, kept);
    let counters = signatures::number(&config.signatures, &mut kept);
    let mut policy: Box<Policy> = zeroed();
    policy.mode = mode(config.mode);
    policy.role = match (config.role, host.forwards) {
        (Role::Gateway, _) => ROLE_GATEWAY,
        (Role::Any, _) | (Role::Auto, true) => ROLE_ANY,
        (Role::Host, _) | (Role::Auto, false) => ROLE_HOST,
    };
    policy.fragments = match config.fragments {
        Fragments::Judge => FRAGMENTS_JUDGE,
        Fragments::Drop => FRAGMENTS_DROP,
    };
    policy.udp_needs_socket = u32::from(config.udp_needs_socket);
    tunnels::compile(&mut policy, &config.tunnels);
    policy.observed = config.observe.iter().fold(0, |bits, reason| bits | 1 << *reason as u32);
    for port in config.amplifiers.iter().flat_map(|range| range.first..=range.last) {
        policy.amplifiers[usize::from(port >> 6)] |= 1 << (port & 63);
    }
    let levels = levels(config);
    for (level, length) in policy.levels.iter_mut().zip(&levels) {
        let mask = |bits: Option<u8>, before| {
            bits.map_or_else(Address::default, |bits| Address::mask(before + u32::from(bits)))
        };
        (level.mask_v4, level.mask_v6) = (mask(length.ipv4, 96), mask(length.ipv6, 0));
    }
    policy.key = kept.key;
    policy.events =
        RateLimit { rate: config.events, burst: config.events.count }.to_limit(Dimension::Packets)?;
    policy.interfaces = host.interfaces;
    policy.by_protocol.fill(CLASS_DEFAULT);
    policy.by_tcp_port.fill(CLASS_DEFAULT);
    policy.by_udp_port.fill(CLASS_DEFAULT);
    policy.fragments_class = u32::from(CLASS_DEFAULT);
    let asked = config.signatures.iter().zip(counters.iter());
    for (place, (rule, (counter, _))) in policy.signatures.iter_mut().zip(asked) {
        *place = Signature { counter, ..rule.matches };
    }
    let mut answers = None;
    for class in config.all_classes() {
        let number = numbers.number(&class.name).unwrap_or(CLASS_DEFAULT);
        let compiled = &mut policy.classes[usize::from(number)];
        *compiled = kernel_class(class, &levels, config.source.lines)?;
        if compiled.flags & (CLASS_CLOSED | CLASS_OBSERVE) == 0
            && compiled.reserve.iter().all(|limit| !limit.is_set())
            && policy.observed & TOTALS == 0
        {
            compiled.flags |= CLASS_FIRM_TOTAL;
        }
        compiled.signatures = signature_bits(config, class);
        claim(&mut policy, number, &class.claim);
        if class.claim == Claim::Answers {
            answers = Some(u32::from(number));
        }
    }
    let rest = config.classes.iter().find(|class| class.claim == Claim::Udp(Vec::new()));
    policy.udp_class = u32::from(rest.and_then(|class| numbers.number(&class.name)).unwrap_or(CLASS_DEFAULT));
    policy.answers_class = answers.unwrap_or(policy.udp_class);
    cookies::arm(&mut policy, config, &numbers, host.handshake)?;
    Ok(Compiled { policy, kept, numbers, counters })
}

/// What says that a total is spent, a bit each.
const TOTALS: u64 =
    1 << Reason::TotalPackets as u32 | 1 << Reason::TotalBytes as u32 | 1 << Reason::TotalConnections as u32;

/// The signatures that a class names, a bit each.
fn signature_bits(config: &Config, class: &Class) -> u32 {
    let named = |(_, rule): &(usize, &SignatureRule)| class.signatures.contains(&rule.name);
    config.signatures.iter().enumerate().filter(named).fold(0, |bits, (number, _)| bits | 1 << number)
}

/// The prefix lengths at which sources are limited: that of a source, then those that classes name, longest first.
fn levels(config: &Config) -> Vec<PrefixLength> {
    let mut wider: Vec<PrefixLength> =
        config.all_classes().flat_map(|class| class.per_prefix.iter().map(|prefix| prefix.length)).collect();
    wider.sort_unstable_by(|a, b| b.cmp(a));
    wider.dedup();
    let source =
        PrefixLength { ipv4: Some(config.source.ipv4_prefix), ipv6: Some(config.source.ipv6_prefix) };
    std::iter::once(source).chain(wider).collect()
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

fn kernel_class(class: &Class, levels: &[PrefixLength], lines: u32) -> Result<KernelClass, LimitError> {
    let mut kernel = KernelClass { salt: class_salt(&class.name), ..KernelClass::default() };
    kernel.flags =
        if class.closed { CLASS_CLOSED } else { 0 } | if class.observe { CLASS_OBSERVE } else { 0 };
    let mut level = |number: usize, limits: Limits| {
        let PrefixLength { ipv4, ipv6 } = levels[number];
        kernel.per_source[number] = limits;
        kernel.levels |= u32::from(ipv4.is_some()) << number | u32::from(ipv6.is_some()) << (8 + number);
    };
    if !class.per_source.is_empty() {
        level(0, limits(&class.per_source)?);
    }
    for prefix in &class.per_prefix {
        if let Some(number) = levels.iter().position(|length| *length == prefix.length).filter(|&n| n > 0) {
            level(number, limits(&prefix.limits)?);
        }
    }
    (kernel.total, kernel.reserve) = shares(&class.total, class.proven_share)?;
    let sets =
        || std::iter::once(&class.per_source).chain(class.per_prefix.iter().map(|prefix| &prefix.limits));
    let eighth = lines / 8;
    let slow = Region { base: lines + eighth, mask: eighth - 1 };
    kernel.regions = if sets().any(is_slow) {
        [slow, slow]
    } else {
        [Region { base: 0, mask: lines - 1 }, Region { base: lines, mask: eighth - 1 }]
    };
    if sets().chain([&class.total]).any(is_fine) {
        kernel.flags |= CLASS_PRECISE;
    }
    Ok(kernel)
}

/// What each of a set's limits needs to be refilled, and how many units a second it allows.
fn each(set: &LimitSet) -> impl Iterator<Item = (Dimension, RateLimit)> {
    Dimension::ALL.into_iter().filter_map(|dimension| Some((dimension, set.get(dimension)?)))
}

/// Bytes are counted in packets of the usual size here.
fn is_slow(set: &LimitSet) -> bool {
    each(set).any(|(dimension, RateLimit { rate, .. })| {
        let units = if dimension == Dimension::Bytes { rate.count / 1_514 } else { rate.count };
        units < SLOW_PER_SECOND * rate.period.seconds()
    })
}

fn is_fine(set: &LimitSet) -> bool {
    each(set).any(|(_, RateLimit { rate, burst })| {
        u128::from(burst) * u128::from(rate.period.seconds()) * 1000
            < u128::from(rate.count) * PRECISE_BELOW.as_millis()
    })
}

/// Splits a class's totals into what anybody may have and what is reserved for proven sources. Of the reserve everybody
/// may have what proven sources do not ask for, down to half of its burst; so that the bursts add up, the first part's is
/// larger than its share of the rate. A burst too small to be split is not.
fn shares(total: &LimitSet, percent: u8) -> Result<(Limits, Limits), LimitError> {
    let (mut all, mut reserve) = (limits(total)?, [Limit::NONE; 3]);
    if percent == 0 {
        return Ok((all, reserve));
    }
    for (dimension, RateLimit { rate, burst }) in each(total) {
        let index = dimension as usize;
        let least = if dimension == Dimension::Bytes { LEAST_DEFAULT_BYTES } else { 1 };
        let percent = u64::from(percent);
        let largest = if dimension == Dimension::Bytes { MAX_UNITS } else { 1 };
        let period_ns = rate.period.seconds() * 100 * 1_000_000_000;
        let part =
            |share: u64, burst| Limit::new(rate.count.saturating_mul(share), period_ns, burst, largest);
        let (reserved, open) = (burst * percent / 100, burst - burst * percent / 200);
        if percent >= 100 || reserved / 2 < least || open < least {
            continue;
        }
        all[index] = part(100 - percent, open)?;
        reserve[index] = part(percent, reserved)?;
    }
    Ok((all, reserve))
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
        Claim::Rest | Claim::Answers => {}
        Claim::Fragments => policy.fragments_class = u32::from(number),
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
        compile(&parse("test", text).unwrap(), kept, &Host::default()).unwrap()
    }

    /// These and no others.
    fn classes(names: &[&str]) -> String {
        let class =
            |(i, name)| format!("[[class]]\nname = \"{name}\"\nprotocol = \"tcp\"\nports = [{}]\n", i + 1);
        std::iter::once("[default]\n".to_owned()).chain(names.iter().enumerate().map(class)).collect()
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
        assert_eq!(
            (policy.levels[0].mask_v4, policy.levels[0].mask_v6),
            (Address::mask(120), Address::mask(48))
        );
        assert_eq!(policy.key.words, kept.key.words);
        assert_eq!(policy.by_tcp_port[80], n("web"));
        assert_eq!((policy.by_tcp_port[7999], policy.by_tcp_port[8011]), (CLASS_DEFAULT, CLASS_DEFAULT));
        assert_eq!((policy.by_tcp_port[8000], policy.by_tcp_port[8010]), (n("web"), n("web")));
        assert_eq!((policy.by_udp_port[53], policy.by_udp_port[54]), (n("dns"), n("udp")));
        assert_eq!((policy.by_protocol[1], policy.by_protocol[58]), (n("ping"), n("ping")));
        assert_eq!((policy.by_protocol[47], policy.by_protocol[50]), (n("gre"), CLASS_DEFAULT));
        assert_eq!(policy.classes[usize::from(n("udp"))].flags & CLASS_CLOSED, CLASS_CLOSED);
        let class = &policy.classes[usize::from(n("web"))];
        // Half of the rate each; the bursts such that nobody proven leaves the whole of it to the others.
        let part = |burst| Limit::new(50_000_000, 100_000_000_000, burst, 65_535).unwrap();
        assert_eq!(class.total[Dimension::Bytes as usize], part(1_500_000));
        assert_eq!(class.reserve[Dimension::Bytes as usize], part(1_000_000));
        assert!(!class.per_source[0].iter().any(Limit::is_set));
        assert_eq!(class.salt, class_salt("web"));
        assert_eq!(policy.classes[1].per_source[0][0], Limit::new(12, 60_000_000_000, 1, 1).unwrap());
    }

    #[test]
    fn classes_have_the_bits_of_the_signatures_that_they_name() {
        let text = r#"
            default = { signatures = ["b"] }
            signature = [{ name = "a", ttl = 1 }, { name = "b", ttl = 2 }, { name = "c", ttl = 3 }]
            class = [{ name = "web", protocol = "tcp", signatures = ["c", "a"] }, { name = "u", protocol = "udp" }]
        "#;
        let Compiled { policy, numbers, .. } = compiled(text, &Kept::default());
        let bits = |name| policy.classes[usize::from(numbers.number(name).unwrap())].signatures;
        assert_eq!((bits("default"), bits("web"), bits("u")), (0b010, 0b101, 0));
        let hops: Vec<u16> = policy.signatures.iter().map(|signature| signature.hop_limit.from).collect();
        assert_eq!(hops[..4], [1, 2, 3, 0]);
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
